"""``renamer OLD NEW``: the shape of `rewrite`, which changes the name on the way and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.interfaces import IStage
from k8sdns.records import Record
from k8sdns.server.draft import BlockDraft
from k8sdns.waiting import then


@dataclass(frozen=True)
class Settings:
    """Asks for names below NEW where the client asks for names below OLD."""

    old: bytes = argument(kinds.domain("OLD"), help="The suffix that clients use.")
    new: bytes = argument(kinds.domain("NEW"), help="The suffix that is asked for.")


@implementer(IStage)
class Renamer:
    """Exchanges one suffix for another, and owners back again."""

    def __init__(self, settings: Settings) -> None:
        self._old, self._new = settings.old, settings.new

    def respond(self, question: Question, rest: Any) -> Any:
        at = names.suffix_offset(question.qname, self._old)
        if at < 0:
            return rest(question)
        return then(rest(question.changed(qname=question.qname[:at] + self._new)), self._back)

    def _back(self, answer: Answer) -> Answer:
        return answer.replace(
            answer=tuple(map(self._record, answer.answer)),
            authority=tuple(map(self._record, answer.authority)),
            additional=tuple(map(self._record, answer.additional)),
        )

    def _record(self, record: Record) -> Record:
        at = names.suffix_offset(record.owner.lower(), self._new)
        return record if at < 0 else record._replace(owner=record.owner[:at] + self._old)


def install(settings: Settings, block: BlockDraft) -> None:
    block.add(Renamer(settings))


DIRECTIVE = Directive("renamer", Settings, install=install, follows="rewrite")
