"""Search lists walked by the server: one query of a client for the names that it would try in turn.

Owns the order of candidates and what is made of the answer that wins (CoreDNS plugin/autopath).
Refuses to know where search lists come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question
from k8sdns.interfaces import IStage
from k8sdns.records import Record
from k8sdns.waiting import then

if TYPE_CHECKING:
    from k8sdns.server.block import Answered, Respond

SearchPath: TypeAlias = "Callable[[Question], tuple[bytes, ...]]"


@implementer(IStage)
class Autopath:
    """Tries the rest of a client's search list when it asks for a name in the first domain of it.

    `zones` limits the names that this is done for. `search_path` gives the suffixes of a client,
    in order; () leaves it alone. `won` is told of each query that a candidate answered.
    """

    def __init__(
        self, zones: tuple[bytes, ...], search_path: SearchPath, won: Callable[[Question], None]
    ) -> None:
        self._zones = zones
        self.search_path = search_path
        self._won = won

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Answer with the first candidate that exists; with the first denial if none does."""
        qname = question.qname
        if not any(names.is_subdomain(qname, zone) for zone in self._zones):
            return rest(question)
        path = self.search_path(question)
        if not path:
            return rest(question)
        at = names.suffix_offset(qname, path[0])
        if at <= 0:
            return rest(question)
        base = question.qname_as_sent[:at]
        suffixes = dict.fromkeys((*path, names.ROOT))
        candidates = [base + each for each in suffixes if at + len(each) <= names.MAX_NAME_OCTETS]
        return _Walk(question, rest, candidates, self._won).go_on()


class _Walk:
    """One query on its way along the candidates."""

    def __init__(
        self,
        question: Question,
        rest: Respond,
        candidates: list[bytes],
        won: Callable[[Question], None],
    ) -> None:
        self._question = question
        self._rest = rest
        self._candidates = candidates
        self._won = won
        self._at = 0
        self._first: Answer | None = None

    def go_on(self) -> Answered:
        """Ask for the next candidate; the first is the question itself."""
        if self._at == 0:
            asked = self._question
        else:
            asked = self._question.changed(qname=self._candidates[self._at])
        self._at += 1
        return then(self._rest(asked), self._judge)

    def _judge(self, answer: Answer) -> Any:
        if answer is SILENT or answer.error is not None:
            return answer
        if answer.rcode != records.NXDOMAIN:
            self._won(self._question)
            return self._as_alias(answer)
        if self._first is None:
            self._first = answer
        return self.go_on() if self._at < len(self._candidates) else self._first

    def _as_alias(self, answer: Answer) -> Answer:
        """Lead from the name that was asked to the one that exists, with the TTL found there."""
        qname = self._question.qname_as_sent
        first = answer.answer[0] if answer.answer else None
        if first is None or first.owner.lower() == self._question.qname:
            return answer
        alias = Record(qname, records.CNAME, first.ttl, first.owner)
        return answer.replace(answer=(alias, *answer.answer))
