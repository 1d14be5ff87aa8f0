"""``gatekeeper { block IP…; drop IP… }``: the shape of `acl`, a stage that may end a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import SILENT, Answer, Question, extended_error
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, options
from k8sdns.interfaces import IStage
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Turns some clients away."""

    block: tuple[str, ...] = options(kinds.ip(), help="Clients that are refused.")
    drop: tuple[str, ...] = options(kinds.ip(), help="Clients that get no reply.")


@implementer(IStage)
class Gatekeeper:
    """Answers for those who may not pass."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def respond(self, question: Question, rest: Any) -> Any:
        host = question.peer.host
        if host in self._settings.drop:
            return SILENT
        if host in self._settings.block:
            blocked = extended_error(15, "not from there")
            return Answer(rcode=records.REFUSED, options=(blocked,), source="gatekeeper")
        return rest(question)


def install(settings: Settings, block: BlockDraft) -> None:
    block.add(Gatekeeper(settings))


DIRECTIVE = Directive("gatekeeper", Settings, install=install, follows="acl")
