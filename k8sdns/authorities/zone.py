"""A zone in memory: its records by name, its cuts, its apex; built whole, never changed.

Owns: what exists in a zone, empty non-terminals included, and which problems its data has.
Refuses to know questions and answers (`zonelookup`), files (`zonefile`) and transports.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from k8sdns import names, records
from k8sdns.errors import K8sDNSError
from k8sdns.records import Record

WILDCARD = b"\x01*"  # the asterisk label in front of a name (RFC 4592 §2.1.1)
_Groups: TypeAlias = dict[tuple[bytes, int], dict[bytes, Record]]
_NO_SETS: Final[dict[int, tuple[Record, ...]]] = {}


class ZoneError(K8sDNSError):
    """Records that make no zone; the message says why."""


class Node:
    """One existing name: its RRsets by type, and its signatures by the type that they cover."""

    __slots__ = ("sets", "signatures")

    def __init__(self) -> None:
        self.sets: dict[int, tuple[Record, ...]] = {}
        self.signatures: Mapping[int, tuple[Record, ...]] = _NO_SETS

    def __iter__(self) -> Iterator[Record]:
        for rrset in self.sets.values():
            yield from rrset
        for signatures in self.signatures.values():
            yield from signatures


class Zone:
    """An authoritative zone (RFC 1034 §4.2). Treat it as immutable.

    `nodes` holds every name that exists, in lower case: owners, and the empty non-terminals
    between them and the apex (RFC 4592 §2.2.2). Owners inside records keep the file's letters.
    """

    def __init__(self, origin: bytes, zone_records: Iterable[Record]) -> None:
        """Raise `ZoneError` for a record outside `origin`, a missing or a second SOA."""
        for _ in self._build(origin, zone_records):
            pass

    @classmethod
    def building(cls, origin: bytes, zone_records: Iterable[Record]) -> Generator[None, None, Zone]:
        """Make a zone with a pause after each record, for those who must not take long at once."""
        zone = cls.__new__(cls)
        yield from zone._build(origin, zone_records)  # noqa: SLF001 - our own
        return zone

    def _build(self, origin: bytes, zone_records: Iterable[Record]) -> Iterator[None]:
        self.origin = origin
        self.nodes: dict[bytes, Node] = {}
        self.size = 0  # records
        groups: _Groups = {}
        for record in zone_records:
            _group(groups, record)
            yield
        for (owner, _), group in groups.items():
            self._add(owner, _same_ttl(tuple(group.values())))
            yield
        self.apex = self.nodes.get(origin) or Node()
        self.soa = self._only_soa()
        self.ns = self.apex.sets.get(records.NS, ())
        self.is_signed = any(node.signatures for node in self.nodes.values())
        self._nsec_order, self._nsec_owners = self._nsec_chain() if self.is_signed else ([], [])

    @property
    def serial(self) -> int:
        """The serial number of the SOA (RFC 1035 §3.3.13)."""
        serial: int = struct.unpack_from("!I", self.soa.rdata, len(self.soa.rdata) - 20)[0]
        return serial

    def _add(self, owner: bytes, rrset: tuple[Record, ...]) -> None:
        at = names.suffix_offset(owner, self.origin)
        if at < 0:
            raise ZoneError(
                f"{names.to_text(owner)} is not in the zone {names.to_text(self.origin)}"
            )
        node = self._node(owner)
        if rrset[0].rtype == records.RRSIG:
            node.signatures = _by_covered_type(rrset)
        else:
            node.sets[rrset[0].rtype] = rrset
        self.size += len(rrset)

    def _node(self, owner: bytes) -> Node:
        """Return the node of `owner`, having made it and the empty non-terminals above it."""
        node = self.nodes.get(owner)
        if node is None:
            node = self.nodes[owner] = Node()
            name = owner
            while name != self.origin:
                name = name[name[0] + 1 :]
                if name in self.nodes:
                    break
                self.nodes[name] = Node()
        return node

    def _only_soa(self) -> Record:
        soa = self.apex.sets.get(records.SOA, ())
        if not soa:
            raise ZoneError(f"no SOA record for origin {names.to_text(self.origin)}")
        if len(soa) > 1:
            raise ZoneError(f"{len(soa)} different SOA records for {names.to_text(self.origin)}")
        return soa[0]

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, the SOA first, then the rest of the apex, then the other names."""
        yield self.soa
        others = (node for node in self.nodes.values() if node is not self.apex)
        for node in (self.apex, *others):
            for record in node:
                if record.rtype != records.SOA:
                    yield record

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the data although it can be served, in words."""
        if not self.ns:
            yield f"{names.to_text(self.origin)} has no NS record"
        for owner, node in self.nodes.items():
            cnames = node.sets.get(records.CNAME)
            if cnames is None:
                continue
            if len(cnames) > 1:
                yield f"{names.to_text(owner)} has {len(cnames)} CNAME records"
            if node.sets.keys() - {records.CNAME, records.NSEC}:  # RFC 1034 §3.6.2
                yield f"{names.to_text(owner)} has a CNAME and other records"

    def _nsec_chain(self) -> tuple[list[tuple[bytes, ...]], list[bytes]]:
        owners = [owner for owner, node in self.nodes.items() if records.NSEC in node.sets]
        pairs = sorted((canonical(owner), owner) for owner in owners)
        return [key for key, _ in pairs], [owner for _, owner in pairs]

    def covering(self, name: bytes) -> bytes | None:
        """Return the owner of the NSEC record at or before `name` (RFC 4034 §6.1), or None."""
        if not self._nsec_owners:
            return None
        # Before the first means after the last: the chain is a ring.
        return self._nsec_owners[bisect_right(self._nsec_order, canonical(name)) - 1]


def canonical(name: bytes) -> tuple[bytes, ...]:
    """Return what sorts lower-case names in DNSSEC's canonical order (RFC 4034 §6.1)."""
    return tuple(reversed(names.labels_of(name)))


def _group(groups: _Groups, record: Record) -> None:
    """Put `record` into its RRset; a record that is there already is nothing (RFC 2181 §5)."""
    group = groups.setdefault((record.owner.lower(), record.rtype), {})
    group.setdefault(_comparable(record), record)


def _comparable(record: Record) -> bytes:
    if record.rtype in records.NAMES_IN_RDATA:
        return b"".join(
            [record.rdata[: records.NAMES_IN_RDATA[record.rtype][0]]]
            + [name.lower() for name in records.names_in(record)]
            + [record.rdata[_end_of_names(record) :]]
        )
    return record.rdata


def _end_of_names(record: Record) -> int:
    at, count = records.NAMES_IN_RDATA[record.rtype]
    for _ in range(count):
        at = records.end_of_name(record.rdata, at)
    return at


def _same_ttl(rrset: tuple[Record, ...]) -> tuple[Record, ...]:
    """Give an RRset one TTL, the lowest (RFC 2181 §5.2)."""
    # Signatures of different sets are no RRset of their own (RFC 4034 §3).
    ttl = min(record.ttl for record in rrset)
    if rrset[0].rtype == records.RRSIG or all(record.ttl == ttl for record in rrset):
        return rrset
    return tuple(record._replace(ttl=ttl) for record in rrset)


def _by_covered_type(signatures: Iterable[Record]) -> dict[int, tuple[Record, ...]]:
    covered: dict[int, tuple[Record, ...]] = {}
    for record in signatures:
        rtype = int.from_bytes(record.rdata[:2], "big")
        covered[rtype] = (*covered.get(rtype, ()), record)
    return covered
