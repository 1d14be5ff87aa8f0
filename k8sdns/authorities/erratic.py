"""An authority that misbehaves on purpose, to see how clients bear it.

Owns: which query is dropped, delayed or truncated. Refuses to know the truth about any name.
"""

from __future__ import annotations

from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.errors import ServerFailure
from k8sdns.interfaces import IReadiness, ISearchPath
from k8sdns.records import Record

_ADDRESSES = {records.A: "192.0.2.53", records.AAAA: "2001:db8::53"}
_LARGE = 30  # copies of the address: about what 512 octets hold
_SEARCH_PATH = (names.from_text("a.example.org"), names.from_text("b.example.org"), names.ROOT)
_READY_FROM, _READY_UNTIL = 3, 5  # queries


class Misbehaviour(NamedTuple):
    """Every how many queries what happens; 0 is never. `delay_time` is in seconds."""

    drop: int = 2
    truncate: int = 0
    delay: int = 0
    delay_time: float = 0.1
    large: bool = False


@implementer(IReadiness, ISearchPath)
class ErraticAuthority(Authority):
    """Counts queries from 0 and misbehaves by their number."""

    word = "erratic"

    def __init__(self, misbehaviour: Misbehaviour, clock: IReactorTime) -> None:
        self._misbehaviour = misbehaviour
        self._clock = clock
        self._queries = 0

    def answer(self, question: Question) -> Answer | Deferred[Answer | None]:
        """Answer A, AAAA and AXFR, or not; raises `ServerFailure` for other types."""
        number, self._queries = self._queries, self._queries + 1
        bad = self._misbehaviour
        if _is_due(bad.drop, number):
            return SILENT
        answer = self._answer(question, is_truncated=_is_due(bad.truncate, number))
        if not _is_due(bad.delay, number):
            return answer
        return self._later(answer)

    def _later(self, answer: Answer) -> Deferred[Answer | None]:
        waiting: Deferred[Answer | None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(self._misbehaviour.delay_time, waiting.callback, answer)
        return waiting

    def _answer(self, question: Question, *, is_truncated: bool) -> Answer:
        owner = question.qname_as_sent
        if question.qtype == records.AXFR:
            return Answer(_small_zone(owner), aa=True, source=self.word)
        address = _ADDRESSES.get(question.qtype)
        if address is None:
            raise ServerFailure("erratic answers A, AAAA and AXFR only")
        copies = _LARGE if self._misbehaviour.large and question.qtype == records.A else 1
        found = (records.address(owner, address, 0),) * copies
        return Answer(found, aa=True, tc=is_truncated, source=self.word)

    def waits_for(self) -> str:
        """Return "" while three or four queries have been asked (CoreDNS)."""
        is_ready = _READY_FROM <= self._queries < _READY_UNTIL
        return "" if is_ready else f"the right number of queries (so far {self._queries})"

    def search_path(self, _question: Question) -> tuple[bytes, ...]:
        """Return CoreDNS's search path for tests."""
        return _SEARCH_PATH


def _is_due(every: int, number: int) -> bool:
    return every > 0 and number % every == 0


def _small_zone(owner: bytes) -> tuple[Record, ...]:
    soa = records.soa(owner, owner, owner, (1, 7200, 1800, 86400, 100), 0)
    address = records.address(owner, _ADDRESSES[records.A], 0)
    return (soa, Record(owner, records.NS, 0, owner), address, soa)
