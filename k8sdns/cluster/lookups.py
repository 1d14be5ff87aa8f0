"""Finding cluster objects by what a question holds: names, labels off the wire, addresses.

Owns: the tables and indexes, always consistent with one another.
Refuses to know who adds and removes objects, and who wants to hear of it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, TypeAlias

from k8sdns.cluster.index import AddressIndex, endpoint_addresses, label_of, virtual_addresses
from k8sdns.cluster.model import KINDS, EndpointSlice, Key, Namespace, Pod, Service, Thing
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.sharded import Sharded

Table: TypeAlias = Sharded[Key, Any] | Packed

_NO_SERVICES: dict[bytes, Service] = {}


class Lookups:
    """The reading side of the store: a dict probe or two a lookup; nothing is copied.

    `services` is keyed (namespace, name) and `namespaces` by name, both as Kubernetes spells them.
    `services_in` and `namespace_at` are keyed by lower-case labels as a question holds them:
    ``store.services_in[b"default"][b"web"]`` needs no decoding on the way to an answer.
    """

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {kind: Sharded() for kind in KINDS}
        self.services: MutableMapping[Key, Any] = self._tables["services"]
        self.namespaces: dict[str, Namespace] = {}
        self.services_in: dict[bytes, dict[bytes, Service]] = {}
        self.namespace_at: dict[bytes, Namespace] = {}
        self._slices_of: dict[Key, tuple[EndpointSlice, ...]] = {}
        self._services_by_ip: AddressIndex[Service] = AddressIndex()
        self._services_by_external_ip: AddressIndex[Service] = AddressIndex()
        self._slices_by_ip: AddressIndex[EndpointSlice] = AddressIndex()
        self._pods_by_ip: AddressIndex[Pod] = AddressIndex()

    def slices_of(self, namespace: str, service: str) -> tuple[EndpointSlice, ...]:
        """Return the slices of a Service, by slice name."""
        return self._slices_of.get((namespace, service), ())

    def service_at(self, namespace: bytes, service: bytes) -> Service | None:
        """Return the Service at two lower-case labels of a question."""
        return self.services_in.get(namespace, _NO_SERVICES).get(service)

    def service_by_ip(self, ip: str) -> Service | None:
        """Return the Service with this cluster address; of several, the first by its key."""
        return self._services_by_ip.first(ip)

    def services_by_external_ip(self, ip: str) -> tuple[Service, ...]:
        """Return the Services with this external address or host name."""
        return self._services_by_external_ip.all(ip)

    def slices_by_ip(self, ip: str) -> tuple[EndpointSlice, ...]:
        """Return the slices that hold a ready endpoint with this address."""
        return self._slices_by_ip.all(ip)

    def pod_by_ip(self, namespace: str, ip: str) -> Pod | None:
        """Return the Pod of `namespace` with exactly this address text."""
        for pod in self._pods_by_ip.all(ip):
            if pod.namespace == namespace:
                return pod
        return None

    def client_pod(self, ip: str) -> Pod | None:
        """Return the Pod that asks from `ip`; on a shared host network, the first by its key."""
        return self._pods_by_ip.first(ip)

    def _file(self, thing: Thing) -> None:
        if isinstance(thing, EndpointSlice):
            if thing.service:
                siblings = (*self.slices_of(thing.namespace, thing.service), thing)
                ordered = tuple(sorted(siblings, key=_name))
                self._slices_of[thing.namespace, thing.service] = ordered
                self._slices_by_ip.add(endpoint_addresses(thing), thing)
        elif isinstance(thing, Service):
            self._services_by_ip.add(virtual_addresses(thing), thing)
            self._services_by_external_ip.add(set(thing.external_ips), thing)
            self._file_labels(thing)
        elif isinstance(thing, Pod):
            if thing.ip:
                self._pods_by_ip.add((thing.ip,), thing)
        else:
            self.namespaces[thing.name] = thing
            label = label_of(thing.name)
            if label is not None:
                self.namespace_at[label] = thing

    def _file_labels(self, service: Service) -> None:
        namespace, name = label_of(service.namespace), label_of(service.name)
        if namespace is not None and name is not None:
            self.services_in.setdefault(namespace, {})[name] = service

    def _unfile(self, thing: Thing) -> None:
        if isinstance(thing, EndpointSlice):
            if thing.service:
                self._unfile_slice(thing)
        elif isinstance(thing, Service):
            self._services_by_ip.discard(virtual_addresses(thing), thing)
            self._services_by_external_ip.discard(set(thing.external_ips), thing)
            self._unfile_labels(thing)
        elif isinstance(thing, Pod):
            if thing.ip:
                self._pods_by_ip.discard((thing.ip,), thing)
        else:
            del self.namespaces[thing.name]
            label = label_of(thing.name)
            if label is not None:
                del self.namespace_at[label]

    def _unfile_slice(self, piece: EndpointSlice) -> None:
        key = (piece.namespace, piece.service)
        left = tuple(other for other in self._slices_of[key] if other.name != piece.name)
        if left:
            self._slices_of[key] = left
        else:
            del self._slices_of[key]
        self._slices_by_ip.discard(endpoint_addresses(piece), piece)

    def _unfile_labels(self, service: Service) -> None:
        namespace, name = label_of(service.namespace), label_of(service.name)
        if namespace is not None and name is not None:
            neighbours = self.services_in[namespace]
            del neighbours[name]
            if not neighbours:
                del self.services_in[namespace]


def _name(piece: EndpointSlice) -> str:
    return piece.name
