"""What stands behind the name of one Service: addresses, ports, endpoint names, or an alias.

Owns: the selection of backends by endpoint, port and topology zone. Refuses to know zones, TTLs
and records. A view is made from one state of the store and thrown away with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from k8sdns import names, records
from k8sdns.authorities.endpoints import endpoint_label, is_of_type, octets_of
from k8sdns.authorities.schema import SERVICE_TREE, Place
from k8sdns.cluster.model import EndpointSlice, Port, Service

NO_PORT = -1
_NO_PORTS = (Port("", NO_PORT, ""),)


class Backend(NamedTuple):
    """One address at one port; `owner` is the name it goes by, as labels left of the zone."""

    owner: bytes
    address: str
    port: int  # -1: no port, no SRV record
    port_name: bytes  # lower case
    protocol: bytes  # lower case
    topology_zone: str = ""


class ServiceView:
    """A Service as names see it; the parts that few questions ask for are made when asked for.

    `alias` is the target of an ExternalName Service in wire form, None for every other type.
    `exists` is False for one that is to be treated as if it were not there.
    """

    __slots__ = (
        "_addresses",
        "_by_endpoint",
        "_endpoints",
        "_pod_names",
        "_slices",
        "alias",
        "exists",
        "is_external",
        "owner",
        "service",
    )

    def __init__(
        self,
        service: Service,
        slices: Callable[[], tuple[EndpointSlice, ...]],
        *,
        pod_names: bool = False,
        ignore_empty: bool = False,
    ) -> None:
        self.service = service
        self.owner = service_labels(service.namespace, service.name)
        self.is_external = service.type == "ExternalName"
        self.alias = _alias_target(service.external_name) if self.is_external else None
        self.exists = not (
            ignore_empty
            and not self.is_external
            and not service.is_headless
            and not any(piece.endpoints for piece in slices())
        )
        self._slices = slices
        self._pod_names = pod_names
        self._endpoints: tuple[Backend, ...] | None = None
        self._by_endpoint: dict[bytes, list[Backend]] | None = None
        self._addresses: dict[int, tuple[bytes, ...]] = {}

    def addresses(self, qtype: int) -> tuple[bytes, ...] | None:
        """Return the octets of the addresses at the Service's own name, None if there is none."""
        known = self._addresses.get(qtype)
        if known is None:
            texts = self._address_texts()
            if not texts:
                return None
            known = self._addresses[qtype] = distinct_octets(texts, qtype)
        return known

    def backends(self) -> tuple[Backend, ...]:
        """Return what the Service's own name stands for; () means that the name does not exist."""
        if self.is_external or not self.exists:
            return ()
        if self.service.is_headless:
            return self.endpoints()
        return tuple(self._virtual())

    def select(self, place: Place) -> tuple[Backend, ...]:
        """Return what `place` of this Service stands for; () means that the name does not exist."""
        if self.is_external or not self.exists:
            return ()
        if place.endpoint:
            return tuple(self._endpoints_by_label().get(place.endpoint, ()))
        backends = self.backends()
        if place.has_port:
            return tuple(backend for backend in backends if _is_at_port(backend, place))
        return backends

    def select_zonal(self, place: Place) -> tuple[Backend, ...] | None:
        """Return the endpoints of one topology zone, maybe none; None if there is no such name."""
        if not self.service.is_headless or not self.endpoints():
            return None
        wanted = place.topology_zone
        found = tuple(b for b in self.endpoints() if b.topology_zone.lower() == wanted)
        return self.endpoints() if not found and place.zonal == b"prefer" else found

    def endpoints(self) -> tuple[Backend, ...]:
        """Return every ready endpoint at every port, slice by slice."""
        if self._endpoints is None:
            self._endpoints = tuple(self._read_slices())
        return self._endpoints

    def _address_texts(self) -> Sequence[str]:
        """Return the addresses at the Service's own name without making its backends."""
        if self.is_external or not self.exists:
            return ()
        if not self.service.is_headless:
            return self.service.cluster_ips
        return [endpoint.address for piece in self._slices() for endpoint in piece.endpoints]

    def _virtual(self) -> Iterator[Backend]:
        for port in self.service.ports or _NO_PORTS:
            for address in self.service.cluster_ips:
                yield _backend(self.owner, address, port)

    def _read_slices(self) -> Iterator[Backend]:
        for piece in self._slices():
            for endpoint in piece.endpoints:
                label = endpoint_label(endpoint, pod_names=self._pod_names)
                if 0 < len(label) <= names.MAX_LABEL_OCTETS:
                    owner = bytes((len(label),)) + label + self.owner
                    for port in piece.ports or _NO_PORTS:
                        yield _backend(owner, endpoint.address, port, endpoint.zone)

    def _endpoints_by_label(self) -> dict[bytes, list[Backend]]:
        if self._by_endpoint is None:
            self._by_endpoint = {}
            for backend in self.endpoints():
                label = backend.owner[1 : backend.owner[0] + 1]
                self._by_endpoint.setdefault(label, []).append(backend)
        return self._by_endpoint


def service_labels(namespace: str, name: str) -> bytes:
    """Return ``<name>.<namespace>.svc`` as labels left of the zone; b"" for what no name holds."""
    labels = (name.encode("utf-8"), namespace.encode("utf-8"), SERVICE_TREE)
    try:
        return names.from_labels(labels)[:-1]
    except names.BadName:
        return b""


def address_octets(backends: Iterable[Backend], qtype: int) -> tuple[bytes, ...]:
    """Return the distinct addresses of `backends` for A or AAAA records; () for other types."""
    return distinct_octets((backend.address for backend in backends), qtype)


def distinct_octets(addresses: Iterable[str], qtype: int) -> tuple[bytes, ...]:
    """Return the octets of the addresses that belong into records of `qtype`, each once."""
    if qtype not in (records.A, records.AAAA):
        return ()
    texts = dict.fromkeys(text for text in addresses if is_of_type(text, qtype))
    return tuple(octets for text in texts if (octets := octets_of(text)) is not None)


def _backend(owner: bytes, address: str, port: Port, topology_zone: str = "") -> Backend:
    name, protocol = port.name.lower().encode("utf-8"), port.protocol.lower().encode("utf-8")
    return Backend(owner, address, port.port, name, protocol, topology_zone)


def _is_at_port(backend: Backend, place: Place) -> bool:
    return place.port in (b"", backend.port_name) and place.protocol in (b"", backend.protocol)


def _alias_target(external_name: str) -> bytes | None:
    """Return the target of an ExternalName in wire form; None for an address or no name."""
    if octets_of(external_name.removesuffix(".")) is not None:
        return None
    try:
        return names.from_text(external_name, lower=False)
    except names.BadName:
        return None
