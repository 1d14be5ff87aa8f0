"""A cluster zone whole, record by record, for those who copy it.

Owns: which records a transfer holds, and their order. Refuses to know the protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from k8sdns import names, records
from k8sdns.authorities.backends import NO_PORT, Backend, ServiceView, address_octets
from k8sdns.authorities.livezone import LiveZone
from k8sdns.authorities.srv import address_record
from k8sdns.records import AAAA, CNAME, NS, A, Record, names_in

GLUE_TTL = 0  # seconds; CoreDNS's


def transfer_records(
    zone: LiveZone,
    servers: Sequence[tuple[bytes, bytes]],
    views: Iterable[ServiceView],
    ttl: int,
) -> Iterator[Record]:
    """Yield the zone as CoreDNS transfers it: SOA, NS and glue, every Service, SOA.

    Pods and addresses' names are not in it. Reverse zones have no Services below them.
    """
    yield zone.soa
    for name in dict.fromkeys(name for name, _ in servers):
        yield Record(zone.name, NS, ttl, name)
    for name, octets in servers:
        yield address_record(name, octets, GLUE_TTL)
    if not zone.is_reverse:
        for view in views:
            yield from filter(_fits, dict.fromkeys(_service_records(view, zone.name, ttl)))
    yield zone.soa


def _fits(record: Record) -> bool:
    """Tell whether the names of a record are names: below a long zone some are too long."""
    return all(len(name) <= names.MAX_NAME_OCTETS for name in (record.owner, *names_in(record)))


def _service_records(view: ServiceView, zone: bytes, ttl: int) -> Iterator[Record]:
    owner = view.owner + zone
    if view.alias is not None:
        yield Record(owner, CNAME, ttl, view.alias)
        return
    backends = view.backends()
    for rtype in (A, AAAA):
        for octets in address_octets(backends, rtype):
            yield Record(owner, rtype, ttl, octets)
    if view.service.is_headless:
        yield from _endpoint_records(backends, view, zone, ttl)
    else:
        yield from _port_records(backends, owner, ttl)


def _port_records(backends: Sequence[Backend], owner: bytes, ttl: int) -> Iterator[Record]:
    for backend in backends:
        if backend.port != NO_PORT:
            yield records.srv(owner, 100, backend.port, owner, ttl)
            if backend.port_name:
                yield records.srv(_port_name(backend) + owner, 100, backend.port, owner, ttl)


def _endpoint_records(
    backends: Sequence[Backend], view: ServiceView, zone: bytes, ttl: int
) -> Iterator[Record]:
    for backend in backends:
        for octets in address_octets((backend,), A) or address_octets((backend,), AAAA):
            yield address_record(backend.owner + zone, octets, ttl)
    weights: dict[bytes, int] = {}
    for backend in backends:
        weights[_port_name(backend)] = weights.get(_port_name(backend), 0) + 1
    for backend in backends:
        if backend.port_name and backend.port != NO_PORT:
            name = _port_name(backend)
            weight = max(100 // weights[name], 1)
            target = backend.owner + zone
            yield records.srv(name + view.owner + zone, weight, backend.port, target, ttl)


def _port_name(backend: Backend) -> bytes:
    """Return ``_port._protocol`` as labels."""
    labels = (b"_" + backend.port_name, b"_" + backend.protocol)
    return b"".join(bytes((len(label),)) + label for label in labels)
