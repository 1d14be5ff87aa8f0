"""The answer of a zone: RFC 1034 §4.3.2, with wildcards, delegations, aliases and denials.

Owns: the algorithm, from a name and a type to an `Answer`, and which records go into which
section. Refuses to know where zones come from, and to look beyond the zone: where an alias
leaves it, the `Resolution` says to which name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from k8sdns import names, records
from k8sdns.answers import Answer, ZoneDenial
from k8sdns.authorities.zone import WILDCARD, Node, Zone
from k8sdns.records import Record

MAX_ALIASES = 8  # CNAME and DNAME steps that one answer follows (CoreDNS: 8)
YXDOMAIN = 6  # the RCODE of a DNAME that makes a name too long (RFC 6672 §2.2)

# Where the name of a host stands in rdata, for additional processing (RFC 1035 §3.3, RFC 2782,
# RFC 9460 §4.1).
_HOST_AT = {records.NS: 0, records.MX: 2, records.SRV: 6, records.SVCB: 2, records.HTTPS: 2}


MAX_MEMORISED = 4096  # positive Answers of one zone; a full table is dropped whole


class Resolution(NamedTuple):
    """What a zone says: an Answer, and what somebody else could add to it.

    `outside` is the name outside the zone where an alias leads. `is_missing` says that the name
    does not exist, or has nothing of its own (an empty non-terminal): here `fallthrough` applies.
    """

    answer: Answer
    outside: bytes | None = None
    is_missing: bool = False


class ZoneAnswers:
    """The answers of one zone: positive ones remembered, one object for each kind of denial."""

    def __init__(self, zone: Zone, source: str = "") -> None:
        """`source`: the word of the directive that serves the zone."""
        self.zone = zone
        self.source = source
        self.denials: dict[int, Answer] = {
            rcode: ZoneDenial(zone.origin, zone.soa, rcode=rcode, source=source)
            for rcode in (records.NOERROR, records.NXDOMAIN)
        }
        self._known: dict[tuple[bytes, int, bool], Resolution] = {}

    def resolve(self, qname: bytes, qtype: int, *, do: bool = False) -> Resolution:
        """Return what the zone says about the lower-case `qname`, which must be in it.

        `do`: add the signatures and proofs that the zone holds (RFC 4035 §3.1).
        """
        do = do and self.zone.is_signed
        key = (qname, qtype, do)
        known = self._known.get(key)
        if known is not None:
            return known
        resolution = _Resolving(self, qtype, do=do).run(qname)
        # Only names that exist: strangers' inventions must cost no memory.
        if resolution.answer.answer and qname in self.zone.nodes:
            if len(self._known) >= MAX_MEMORISED:
                self._known.clear()
            self._known[key] = resolution
        return resolution

    def wildcard_for(self, qname: bytes, qtype: int) -> bytes | None:
        """Return the name of the wildcard that stands in for `qname`, None where none does."""
        match = _walk(self.zone, qname, qtype)
        return match.name if match.how is _How.WILDCARD else None


class _How(Enum):
    EXACT = auto()
    WILDCARD = auto()
    REFERRAL = auto()
    DNAME = auto()
    MISSING = auto()


class _Match(NamedTuple):
    """How far a name leads: `name` is the existing name it ended at, `node` what is there."""

    how: _How
    name: bytes
    node: Node


class _Resolving:
    """One question on its way through a zone."""

    def __init__(self, answers: ZoneAnswers, qtype: int, *, do: bool) -> None:
        self.zone = answers.zone
        self.denials = answers.denials
        self.qtype = qtype
        self.do = do
        self.source = answers.source
        self.answer: list[Record] = []
        self.proofs: list[Record] = []  # NSEC records that deny what a wildcard stood in for

    def run(self, qname: bytes) -> Resolution:
        name = qname
        for _ in range(MAX_ALIASES + 1):
            match = _walk(self.zone, name, self.qtype)
            if match.how is _How.MISSING:
                return self._denied(records.NXDOMAIN, name, match)
            if match.how is _How.REFERRAL:
                return self._referral(match)
            if match.how is _How.WILDCARD:
                self._prove(name)
            target = self._alias(match, name)
            if target is None:
                return self._settled(match, name)
            if not target:
                return self._finished(rcode=YXDOMAIN)
            if not names.is_subdomain(target, self.zone.origin):
                return Resolution(self._finished().answer, target)
            name = target
        return self._finished()

    def _alias(self, match: _Match, name: bytes) -> bytes | None:
        """Add the alias that stands at `name`; return where it leads, b"" for a name too long."""
        if match.how is _How.DNAME:
            return self._dname(match, name)
        cnames = match.node.sets.get(records.CNAME)
        if cnames is None or self.qtype in {
            records.CNAME,
            records.ANY,
            records.NSEC,
            records.RRSIG,
        }:
            return None
        self._put(match.node, (cnames[0],), name)
        return records.target_of(cnames[0])

    def _dname(self, match: _Match, name: bytes) -> bytes:
        dname = match.node.sets[records.DNAME][0]
        self._put(match.node, (dname,), match.name)
        target = name[: len(name) - len(match.name)] + dname.rdata
        if len(target) > names.MAX_NAME_OCTETS:
            return b""
        # The CNAME takes the TTL of the DNAME (RFC 6672 §3.1).
        self.answer.append(Record(name, records.CNAME, dname.ttl, target))
        return target.lower()

    def _settled(self, match: _Match, name: bytes) -> Resolution:
        """Answer from the node that the name and its aliases led to."""
        rrset = _asked_for(match.node, self.qtype)
        if not rrset:
            return self._denied(records.NOERROR, name, match)
        self._put(match.node, rrset, name)
        at_apex = name == self.zone.origin and self.qtype == records.NS
        return self._finished(
            authority=() if at_apex else self._name_servers(),
            additional=self._additional(rrset),
        )

    def _put(self, node: Node, rrset: tuple[Record, ...], owner: bytes) -> None:
        """Add an RRset to the answer, under the name that was asked for (RFC 4592 §3.3.1)."""
        self.answer += _signed(node, rrset, owner, do=self.do)

    def _name_servers(self) -> Iterable[Record]:
        """The apex NS, as CoreDNS gives them with positive answers."""
        return _signed(self.zone.apex, self.zone.ns, None, do=self.do)

    def _finished(
        self,
        *,
        rcode: int = records.NOERROR,
        authority: Iterable[Record] | None = None,
        additional: Iterable[Record] = (),
    ) -> Resolution:
        if authority is None:
            authority = self._name_servers()
        section = _once((*authority, *self.proofs))
        answer = Answer(
            tuple(self.answer), section, tuple(additional), rcode=rcode, aa=True,
source=self.source,
        )  # fmt: skip
        return Resolution(answer)

    def _denied(self, rcode: int, name: bytes, match: _Match) -> Resolution:
        """NXDOMAIN or NODATA of `name`, the SOA as the file has it (CoreDNS; RFC 2308 §2)."""
        is_missing = not self.answer and (rcode == records.NXDOMAIN or not match.node.sets)
        if not self.answer and not self.do:
            return Resolution(self.denials[rcode], is_missing=is_missing)
        if self.do:
            self._prove(name)
            self._prove(WILDCARD + match.name if rcode == records.NXDOMAIN else match.name)
        soa = _signed(self.zone.apex, (self.zone.soa,), None, do=self.do)
        finished = self._finished(rcode=rcode, authority=soa)
        return finished._replace(is_missing=is_missing)

    def _prove(self, name: bytes) -> None:
        """Add the NSEC record that matches or covers `name` (RFC 4035 §3.1.3)."""
        owner = self.zone.covering(name) if self.do else None
        if owner is not None:
            node = self.zone.nodes[owner]
            self.proofs += _signed(node, node.sets[records.NSEC], None, do=True)

    def _referral(self, match: _Match) -> Resolution:
        """A delegation: AA=0, NS and DS in authority, glue (RFC 1034 §4.3.2 step 3b)."""
        cut = match.node
        name_servers = cut.sets[records.NS]
        section = list(name_servers)
        if self.do and records.DS in cut.sets:
            section += _signed(cut, cut.sets[records.DS], None, do=True)
        elif self.do:
            self._prove(match.name)
        answer = Answer(
            tuple(self.answer), _once((*section, *self.proofs)), self._additional(name_servers),
            aa=bool(self.answer), source=self.source,
        )  # fmt: skip
        return Resolution(answer)

    def _additional(self, rrset: tuple[Record, ...]) -> tuple[Record, ...]:
        """Addresses, known to this zone, of the hosts that `rrset` names."""
        found: list[Record] = []
        for host in dict.fromkeys(_hosts_in(rrset)):
            node = self.zone.nodes.get(host)
            if node is not None:
                for rtype in (records.A, records.AAAA):
                    found += _signed(node, node.sets.get(rtype, ()), None, do=self.do)
        return tuple(found)


def _walk(zone: Zone, name: bytes, qtype: int) -> _Match:
    """Go down from the apex to `name`, stopping at cuts and DNAMEs: what is below is occluded."""
    here, node = zone.origin, zone.apex
    for below in _downwards(name, zone.origin):
        if records.DNAME in node.sets:
            return _Match(_How.DNAME, here, node)
        child = zone.nodes.get(below)
        if child is None:
            star = zone.nodes.get(WILDCARD + here)
            if star is not None:
                return _Match(_How.WILDCARD, WILDCARD + here, star)
            return _Match(_How.MISSING, here, node)
        here, node = below, child
        # The parent answers for DS at the cut itself (RFC 4035 §3.1.4.1).
        if records.NS in node.sets and not (qtype == records.DS and here == name):
            return _Match(_How.REFERRAL, here, node)
    return _Match(_How.EXACT, here, node)


def _downwards(name: bytes, origin: bytes) -> Iterator[bytes]:
    """Yield the names below `origin` on the way to `name`, `name` last."""
    steps = []
    while len(name) > len(origin):
        steps.append(name)
        name = name[name[0] + 1 :]
    return reversed(steps)


def _asked_for(node: Node, qtype: int) -> tuple[Record, ...]:
    if qtype == records.ANY:
        # One RRset is answer enough (RFC 8482 §4.1).
        return node.sets[min(node.sets)] if node.sets else ()
    if qtype == records.RRSIG:
        return tuple(record for group in node.signatures.values() for record in group)
    return node.sets.get(qtype, ())


def _signed(
    node: Node, rrset: tuple[Record, ...], owner: bytes | None, *, do: bool
) -> Iterator[Record]:
    """Yield an RRset and, for `do`, its signatures; under `owner` if that is given."""
    if not rrset:
        return
    rtype = rrset[0].rtype
    signatures = node.signatures.get(rtype, ()) if do and rtype != records.RRSIG else ()
    for record in (*rrset, *signatures):
        yield record if owner is None else record._replace(owner=owner)


def _hosts_in(rrset: tuple[Record, ...]) -> Iterator[bytes]:
    at = _HOST_AT.get(rrset[0].rtype)
    if at is None:
        return
    for record in rrset:
        host = record.rdata[at : records.end_of_name(record.rdata, at)].lower()
        if host == names.ROOT and record.rtype in {records.SVCB, records.HTTPS}:
            host = record.owner.lower()  # RFC 9460 §2.5.2
        yield host


def _once(section: tuple[Record, ...]) -> tuple[Record, ...]:
    return tuple(dict.fromkeys(section))
