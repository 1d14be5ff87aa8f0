"""``any``: a short answer to questions of type ANY (CoreDNS plugin/any, RFC 8482)."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.corefile.settings import Directive
from k8sdns.interfaces import IStage
from k8sdns.records import Record
from k8sdns.server.block import Answered, Respond
from k8sdns.server.draft import BlockDraft

_TTL = 8482  # CoreDNS's
_HINFO = b"".join(bytes((len(text),)) + text for text in (b"ANY obsoleted", b"See RFC 8482"))


@dataclass(frozen=True)
class Settings:
    """Answers type ANY with one HINFO record instead of everything that is known."""


@implementer(IStage)
class ShortAny:
    """Answers ANY itself and lets everything else pass (RFC 8482 §4.2)."""

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Answer type ANY, whatever the name."""
        if question.qtype != records.ANY:
            return rest(question)
        record = Record(question.qname_as_sent, records.HINFO, _TTL, _HINFO, question.qclass)
        return Answer((record,), source="any")


def install(_settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(ShortAny())


DIRECTIVE = Directive("any", Settings, install=install, summary="Short answers to type ANY.")
