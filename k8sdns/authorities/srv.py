"""SRV records of backends and the addresses that go with them.

Owns: weights, targets, what is said twice. Refuses to know how backends were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence

from k8sdns import names, records
from k8sdns.authorities.backends import NO_PORT, Backend
from k8sdns.authorities.endpoints import octets_of
from k8sdns.records import Record


def srv_records(
    qname: bytes, backends: Sequence[Backend], zone: bytes, ttl: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Return (SRV records, address records of their targets) for `qname`.

    Each backend gets the same share of a weight of 100; shares are counted before equal records
    are merged (CoreDNS), so a dual-stack Service has weight 50. Backends without a port count,
    and give nothing (Kubernetes DNS specification §2.3.2, §2.4.2 leave priority and weight open).
    """
    weight = max(100 // len(backends), 1) if backends else 0
    found: dict[Record, None] = {}
    additional: dict[Record, None] = {}
    for backend in backends:
        octets = octets_of(backend.address)
        target = backend.owner + zone
        if backend.port == NO_PORT or octets is None or len(target) > names.MAX_NAME_OCTETS:
            continue
        found[records.srv(qname, weight, backend.port, target, ttl)] = None
        additional[address_record(target, octets, ttl)] = None
    return tuple(found), tuple(additional)


def address_record(owner: bytes, octets: bytes, ttl: int) -> Record:
    """Return the A or AAAA record of 4 or 16 octets."""
    return Record(owner, records.A if len(octets) == 4 else records.AAAA, ttl, octets)
