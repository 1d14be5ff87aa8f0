"""``alias OWNER TARGET``: the shape of `template`'s CNAME, a name looked up through the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.interfaces import IAuthority
from k8sdns.records import Record
from k8sdns.server.draft import BlockDraft
from k8sdns.waiting import then


@dataclass(frozen=True)
class Settings:
    """Gives a name the addresses of another, wherever they come from."""

    owner: bytes = argument(kinds.domain("OWNER"), help="The name.")
    target: bytes = argument(kinds.domain("TARGET"), help="What it stands for.")


@implementer(IAuthority)
class Alias:
    """A CNAME record, followed by what its target comes to."""

    word = "alias"

    def __init__(self, settings: Settings, lookup: Any) -> None:
        self._settings = settings
        self._lookup = lookup

    def answer(self, question: Question) -> Any:
        if question.qname != self._settings.owner:
            return None
        target = self._settings.target
        cname = Record(question.qname, records.CNAME, 5, target)

        def chased(found: Answer) -> Answer:
            return Answer((cname, *found.answer), tc=found.tc, aa=True, source=self.word)

        return then(self._lookup.lookup(question, target, question.qtype), chased)


def install(settings: Settings, block: BlockDraft) -> None:
    block.add(Alias(settings, block.lookup))


DIRECTIVE = Directive("alias", Settings, install=install, once=True, follows="template")
