"""Zone transfers to others: AXFR (RFC 5936), and IXFR answered in full (RFC 1995).

Owns: who may have which zone, and the cut of a zone into messages. Refuses to know where zones
come from (anything that provides `ITransferable`), and how several messages travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from twisted.logger import Logger

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.errors import Refused, ServerFailure
from k8sdns.records import Record

MESSAGE_OCTETS: Final = 63_000  # of records in one message, uncompressed (CoreDNS)
MAX_UNDERWAY: Final = 16  # transfers at once: each holds a list of its zone
TRANSFER_TYPES: Final = frozenset({records.AXFR, records.IXFR})
_FIXED_OCTETS = 10  # type, class, TTL and length of a record (RFC 1035 §4.1.3)


class Receivers(NamedTuple):
    """Who may transfer `zones`: the addresses `hosts`, or anybody."""

    zones: tuple[bytes, ...]
    hosts: frozenset[str] = frozenset()
    anybody: bool = False

    def admits(self, host: str) -> bool:
        """Tell whether the client at `host` may; ports do not matter (CoreDNS)."""
        return self.anybody or host in self.hosts


class TransferAnswer(Answer):
    """The first message of a transfer; `further` yields the Answers of the messages behind it.

    `further` is consumed once, and by a stream only.
    """

    __slots__ = ("__weakref__", "further")

    def __init__(
        self, answer: tuple[Record, ...], further: Iterator[Answer], **arguments: Any
    ) -> None:
        super().__init__(answer, **arguments)
        self.further = further

    def replace(self, **changes: Any) -> Answer:
        """Return a copy with other flags or records in its first message."""
        plain = super().replace(**changes)
        return TransferAnswer(
            plain.answer, self.further, authority=plain.authority, additional=plain.additional,
            rcode=plain.rcode, aa=plain.aa, tc=plain.tc, ra=plain.ra, ad=plain.ad,
            options=plain.options, source=plain.source, error=plain.error,
        )  # fmt: skip


class TransferAuthority(Authority):
    """Answers AXFR and IXFR for the zones of the other authorities of its block."""

    word = "transfer"

    def __init__(
        self, receivers: Iterable[Receivers], sources: Callable[[], Sequence[Any]]
    ) -> None:
        """`sources` returns what provides `ITransferable`, in plugin order."""
        self._receivers = names.ZoneMap(
            (zone, receiver) for receiver in receivers for zone in receiver.zones
        )
        self._sources = sources
        self._underway: WeakSet[TransferAnswer] = WeakSet()
        self._log = Logger()

    def answer(self, question: Question) -> Answer | None:
        """Return the first message of a transfer, None for other questions and unknown zones.

        Raises `Refused` for UDP and for clients who may not, `ServerFailure` for a bad IXFR.
        """
        if question.qtype not in TRANSFER_TYPES:
            return None
        if not question.is_stream:
            raise Refused("zone transfers need TCP")
        found = self._receivers.find(question.qname)
        if found is None:
            return None
        if not found[1].admits(question.peer.host):
            raise Refused(f"{question.peer.host} is not among those who may transfer")
        if len(self._underway) >= MAX_UNDERWAY:
            raise Refused("too many zone transfers at once")
        zone = question.qname
        for source in self._sources():
            serial = source.zone_serial(zone)
            if serial is not None:
                return self._transfer(question, source, serial)
        return None

    def _transfer(self, question: Question, source: Any, serial: int) -> Answer | None:
        # A zone is sent as it was when it was asked for: a list of it cannot change meanwhile.
        whole = list(source.zone_records(question.qname))
        if not whole:
            return None
        if question.qtype == records.IXFR and is_current(_serial_asked(question), serial):
            return Answer((whole[0],), aa=True, source=self.word)
        self._log.info(
            'Outgoing transfer of {count} records of zone "{zone}" to {host} for {serial} '
            "SOA serial",
            count=len(whole), zone=question.name_text, host=question.peer.host, serial=serial,
        )  # fmt: skip
        first, *rest = messages(whole)
        further = (Answer(part, aa=True, source=self.word) for part in rest)
        answer = TransferAnswer(first, further, aa=True, source=self.word)
        self._underway.add(answer)
        return answer


def messages(zone_records: Iterable[Record]) -> Iterator[tuple[Record, ...]]:
    """Yield a zone cut into messages, each with as many records as fit, at least one."""
    part: list[Record] = []
    size = 0
    for record in zone_records:
        octets = len(record.owner) + _FIXED_OCTETS + len(record.rdata)
        if part and size + octets > MESSAGE_OCTETS:
            yield tuple(part)
            part, size = [], 0
        part.append(record)
        size += octets
    if part:
        yield tuple(part)


def is_current(theirs: int, ours: int) -> bool:
    """Tell whether serial `theirs` is no older than `ours` (RFC 1982 §3.2)."""
    return (theirs - ours) % 2**32 < 2**31


def _serial_asked(question: Question) -> int:
    """Return the serial that the client of an IXFR has (RFC 1995 §3)."""
    found = question.authority_records
    if len(found) != 1 or found[0].rtype != records.SOA or len(found[0].rdata) < 22:
        raise ServerFailure("an IXFR query needs one SOA record in its authority section")
    return int.from_bytes(found[0].rdata[-20:-16], "big")
