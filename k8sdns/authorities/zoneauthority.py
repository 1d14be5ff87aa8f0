"""The authority of `file`, `auto` and whatever else serves whole zones.

Owns: the choice of the zone, fallthrough, following aliases out of a zone, and the face that zone
transfers see. Refuses to know where zones come from: anything with a `ZoneAnswers` will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import NOT_READY, Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.zone import Zone
from k8sdns.authorities.zonelookup import MAX_ALIASES, Resolution, ZoneAnswers
from k8sdns.errors import NoNextAuthority, Refused, ServerFailure
from k8sdns.interfaces import ILookup, ITransferable
from k8sdns.records import Record


class ISource(Protocol):
    """What an authority needs of a zone's source; `answers` is None until there is a zone."""

    answers: ZoneAnswers | None
    trouble: str


class Served(NamedTuple):
    """A source and where its missing names may fall through: zones, () for nowhere."""

    source: ISource
    fallthrough: tuple[bytes, ...] = ()


@implementer(ITransferable)
class ZoneAuthority(Authority):
    """Answers for several zones, the longest one that encloses a name (CoreDNS: file, auto)."""

    def __init__(self, word: str, lookup: ILookup | None = None) -> None:
        """`lookup` follows aliases to other zones; without one they are answered as they are."""
        self.word = word
        self._beyond_zones = lookup
        self._zones: names.ZoneMap[Served] = names.ZoneMap()

    def serve(self, zones: dict[bytes, Served]) -> None:
        """Serve exactly these zones from now on."""
        self._zones = names.ZoneMap(zones.items())

    def answer(self, question: Question) -> Answer | Deferred[Answer | None] | None:
        """Answer from the zone of the name; raises `Refused` for transfers, `ServerFailure`."""
        found = self._zones.find(question.qname)
        if found is None or question.qclass not in {records.IN, records.CLASS_ANY}:
            return None
        zone, served = found
        if question.qtype in {records.AXFR, records.IXFR}:
            raise Refused("zone transfers need the transfer directive")
        answers = served.source.answers
        if answers is None:
            trouble = served.source.trouble or "it is being read"
            raise ServerFailure(
                f"zone {names.to_text(zone)} is not loaded: {trouble}",
                ede=(NOT_READY, "not loaded"),
            )
        do = question.edns is not None and question.edns.do
        resolution = answers.resolve(question.qname, question.qtype, do=do)
        if resolution.is_missing and falls_through(served.fallthrough, question.qname):
            return None
        if question.metadata is not None:
            _label(question, answers, question.metadata)
        if resolution.outside is not None and self._beyond_zones is not None:
            return self._followed(question, answers, resolution, resolution.outside)
        return resolution.answer

    def _followed(
        self, question: Question, answers: ZoneAnswers, inside: Resolution, target: bytes
    ) -> Answer | Deferred[Answer | None]:
        """Follow an alias out of the zone through the whole server (CoreDNS: at most 8 times)."""
        if (
            question.depth >= MAX_ALIASES
            or question.qtype == records.ANY
            or self._beyond_zones is None
        ):
            return inside.answer
        found = self._beyond_zones.lookup(question, target, question.qtype)
        if isinstance(found, Deferred):
            return found.addCallback(lambda answer: _joined(answers.zone, inside.answer, answer))
        return _joined(answers.zone, inside.answer, found)

    # ITransferable

    def zones(self) -> tuple[bytes, ...]:
        """Return the zones that are served."""
        return tuple(self._zones)

    def zone_serial(self, zone: bytes) -> int | None:
        """Return the serial of a zone, None if it is not served or not loaded."""
        found = self._zone(zone)
        return found.serial if found else None

    def zone_records(self, zone: bytes) -> Iterator[Record]:
        """Yield the records of a zone as it is now, between two copies of its SOA."""
        found = self._zone(zone)
        if found is not None:
            yield from found
            yield found.soa

    def _zone(self, zone: bytes) -> Zone | None:
        served = self._zones.get(zone)
        answers = served.source.answers if served else None
        return answers.zone if answers else None


def falls_through(zones: tuple[bytes, ...], qname: bytes) -> bool:
    """Tell whether a name that is missing here may be asked of the next authority."""
    return any(names.is_subdomain(qname, zone) for zone in zones)


def _label(question: Question, answers: ZoneAnswers, labels: dict[str, str]) -> None:
    """Say which wildcard answers (CoreDNS plugin/file)."""
    wildcard = answers.wildcard_for(question.qname, question.qtype)
    if wildcard is not None:
        labels["zone/wildcard"] = names.to_text(wildcard)


def _joined(zone: Zone, inside: Answer, beyond: Answer) -> Answer:
    """Put what was found beyond the zone behind the alias that led there.

    Where nobody knows the target the alias alone is the answer, and the client can go on by
    itself; where it does not exist, the denial carries our SOA (CoreDNS).
    """
    if beyond.rcode == records.REFUSED or isinstance(beyond.error, NoNextAuthority):
        return inside
    is_missing = beyond.rcode == records.NXDOMAIN
    return inside.replace(
        answer=inside.answer + beyond.answer,
        authority=(zone.soa,) if is_missing else inside.authority,
        rcode=beyond.rcode,
        tc=beyond.tc,
        options=beyond.options,
        error=beyond.error,
    )
