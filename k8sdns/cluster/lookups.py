"""Finding cluster objects by what a question holds: names, labels off the wire, addresses.

Owns: the tables and indexes, always consistent with one another.
Refuses to know who adds and removes objects, and who wants to hear of it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from sys import intern
from typing import Any, TypeAlias

from k8sdns.cluster.index import AddressIndex, endpoint_addresses, label_of, virtual_addresses
from k8sdns.cluster.model import EndpointSlice, Key, Namespace, Pod, Service, Thing
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.sharded import Sharded

Table: TypeAlias = Sharded[Key, Any] | Packed[Any]

_NO_SERVICES: dict[bytes, Service] = {}


class Lookups:
    """The reading side of the store: a dict probe or two a lookup.

    `services` is keyed (namespace, name) and `namespaces` by name, both as Kubernetes spells them.
    `services_in` and `namespace_at` are keyed by lower-case labels as a question holds them:
    ``store.services_in[b"default"][b"web"]`` needs no decoding on the way to an answer.

    Slices, most of a cluster's objects and rarely asked for twice, are kept as octets, and made
    anew for whoever looks: five microseconds each, for less than half of the memory.
    """

    def __init__(self) -> None:
        self._slices: Packed[EndpointSlice] = Packed(EndpointSlice)
        self._pods: Sharded[Key, Pod] = Sharded()
        self.services: MutableMapping[Key, Service]
        services: Sharded[Key, Service] = Sharded()
        self.services = services
        self._tables: dict[str, Table] = {
            "services": services,
            "endpointslices": self._slices,
            "pods": self._pods,
            "namespaces": Sharded(),
        }
        self.namespaces: dict[str, Namespace] = {}
        self.services_in: dict[bytes, dict[bytes, Service]] = {}
        self.namespace_at: dict[bytes, Namespace] = {}
        self._slice_names: dict[Key, tuple[str, ...]] = {}
        self._services_by_ip = AddressIndex()
        self._services_by_external_ip = AddressIndex()
        self._slices_by_ip = AddressIndex()
        self._pods_by_ip = AddressIndex()

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """Return the slices of a Service, by slice name."""
        slices = self._slices
        names = self._slice_names.get((namespace, service), ())
        return tuple(slices[namespace, name] for name in names)

    def service_at(self, namespace: bytes, service: bytes) -> Service | None:
        """Return the Service at two lower-case labels of a question."""
        return self.services_in.get(namespace, _NO_SERVICES).get(service)

    def service_by_ip(self, ip: str) -> Service | None:
        """Return the Service with this cluster address; of several, the first by its key."""
        key = self._services_by_ip.first(ip)
        return None if key is None else self.services[key]

    def services_by_external_ip(self, ip: str) -> tuple[Service, ...]:
        """Return the Services with this external address or host name."""
        return tuple(self.services[key] for key in self._services_by_external_ip.all(ip))

    def slices_by_ip(self, ip: str) -> tuple[EndpointSlice, ...]:
        """Return the slices that hold a ready endpoint with this address."""
        return tuple(self._slices[key] for key in self._slices_by_ip.all(ip))

    def pod_by_ip(self, namespace: str, ip: str) -> Pod | None:
        """Return the Pod of `namespace` with exactly this address text."""
        for key in self._pods_by_ip.all(ip):
            if key[0] == namespace:
                return self._pods[key]
        return None

    def client_pod(self, ip: str) -> Pod | None:
        """Return the Pod that asks from `ip`; on a shared host network, the first by its key."""
        key = self._pods_by_ip.first(ip)
        return None if key is None else self._pods[key]

    def _file(self, key: Key, thing: Thing) -> None:
        if isinstance(thing, EndpointSlice):
            if thing.service:
                self._file_slice(key, thing)
        elif isinstance(thing, Service):
            self._services_by_ip.add(virtual_addresses(thing), key)
            self._services_by_external_ip.add(set(thing.external_ips), key)
            self._file_labels(thing)
        elif isinstance(thing, Pod):
            if thing.ip:
                self._pods_by_ip.add((thing.ip,), key)
        else:
            self.namespaces[thing.name] = thing
            label = label_of(thing.name)
            if label is not None:
                self.namespace_at[label] = thing

    def _file_slice(self, key: Key, piece: EndpointSlice) -> None:
        of = (key[0], intern(piece.service))
        self._slice_names[of] = tuple(sorted((*self._slice_names.get(of, ()), key[1])))
        self._slices_by_ip.add(endpoint_addresses(piece), key)

    def _file_labels(self, service: Service) -> None:
        namespace, name = label_of(service.namespace), label_of(service.name)
        if namespace is not None and name is not None:
            self.services_in.setdefault(namespace, {})[name] = service

    def _unfile(self, key: Key, thing: Thing) -> None:
        if isinstance(thing, EndpointSlice):
            if thing.service:
                self._unfile_slice(key, thing)
        elif isinstance(thing, Service):
            self._services_by_ip.discard(virtual_addresses(thing), key)
            self._services_by_external_ip.discard(set(thing.external_ips), key)
            self._unfile_labels(thing)
        elif isinstance(thing, Pod):
            if thing.ip:
                self._pods_by_ip.discard((thing.ip,), key)
        else:
            del self.namespaces[thing.name]
            label = label_of(thing.name)
            if label is not None:
                del self.namespace_at[label]

    def _unfile_slice(self, key: Key, piece: EndpointSlice) -> None:
        of = (key[0], piece.service)
        left = tuple(name for name in self._slice_names[of] if name != key[1])
        if left:
            self._slice_names[of] = left
        else:
            del self._slice_names[of]
        self._slices_by_ip.discard(endpoint_addresses(piece), key)

    def _unfile_labels(self, service: Service) -> None:
        namespace, name = label_of(service.namespace), label_of(service.name)
        if namespace is not None and name is not None:
            neighbours = self.services_in[namespace]
            del neighbours[name]
            if not neighbours:
                del self.services_in[namespace]
