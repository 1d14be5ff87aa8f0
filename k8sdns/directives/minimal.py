"""``minimal``: positive answers without what was not asked for (CoreDNS plugin/minimal)."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from k8sdns.answers import SILENT, Answer, Question
from k8sdns.authorities.verdict import NOERROR, verdict
from k8sdns.corefile.settings import Directive
from k8sdns.interfaces import IStage
from k8sdns.server.block import Answered, Respond
from k8sdns.server.draft import BlockDraft
from k8sdns.waiting import then


@dataclass(frozen=True)
class Settings:
    """Leaves the authority and additional sections out of positive answers."""


@implementer(IStage)
class Minimal:
    """Cuts positive answers down; denials and referrals need their records and keep them."""

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Ask on, and cut what comes back."""
        return then(rest(question), lambda answer: self._cut(question, answer))

    @staticmethod
    def _cut(question: Question, answer: Answer) -> Answer:
        is_short = not answer.authority and not answer.additional
        if is_short or answer is SILENT or verdict(question, answer) != NOERROR:
            return answer
        return answer.replace(authority=(), additional=())


def install(_settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(Minimal())


DIRECTIVE = Directive(
    "minimal", Settings, install=install, summary="Leave out what was not asked for."
)
