"""``faulty [NAME]``: a directive with a bug, which fails for one name, now or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.task import deferLater
from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.corefile.settings import Directive
from k8sdns.interfaces import IAuthority
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Raises what nobody expects."""


@implementer(IAuthority)
class Faulty:
    """Fails for ``now.`` and ``later.``, and knows nothing else."""

    word = "faulty"

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def answer(self, question: Question) -> Any:
        label = names.labels_of(question.qname)[:1]
        if label == [b"now"]:
            raise ZeroDivisionError("a bug")
        if label == [b"later"]:
            return deferLater(self._reactor, 0.01, self._fail)
        if label == [b"nonsense"]:
            return "no answer at all"
        return None

    def _fail(self) -> None:
        raise KeyError("another bug")


def install(_settings: Settings, block: BlockDraft) -> None:
    block.add(Faulty(block.context.reactor))


DIRECTIVE = Directive("faulty", Settings, install=install, follows="whoami")
