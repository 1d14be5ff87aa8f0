"""``chaos``: the server's version and name in class CHAOS (CoreDNS plugin/chaos)."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from zope.interface import implementer

import k8sdns
from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, arguments
from k8sdns.interfaces import IStage
from k8sdns.server.block import Answered, Respond
from k8sdns.server.draft import BlockDraft

_MAX_STRING_OCTETS = 255


@dataclass(frozen=True)
class Settings:
    """Answers questions about this server itself: type TXT, class CH."""

    version: str = argument(
        kinds.text("VERSION"),
        default=f"k8sdns-{k8sdns.__version__}",
        help="What `version.bind` and `version.server` say.",
    )
    authors: tuple[str, ...] = arguments(
        kinds.text("AUTHOR"),
        default=("The k8sdns authors",),
        help="What `authors.bind` says, a record each, in any order.",
        shown="The k8sdns authors",
    )


@implementer(IStage)
class Chaos:
    """Answers a handful of names in class CH; all other questions pass (RFC 4892 §2)."""

    def __init__(self, version: str, authors: tuple[str, ...], host: str) -> None:
        self._texts = {
            names.from_text("version.bind"): (version,),
            names.from_text("version.server"): (version,),
            names.from_text("hostname.bind"): (host,),
            names.from_text("id.server"): (host,),
            names.from_text("authors.bind"): authors,
        }

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Answer TXT questions about this server."""
        if question.qclass != records.CH or question.qtype != records.TXT:
            return rest(question)
        texts = self._texts.get(question.qname)
        if texts is None:
            return rest(question)
        found = [self._record(question, text) for text in texts]
        random.shuffle(found)
        return Answer(tuple(found), source="chaos")

    @staticmethod
    def _record(question: Question, text: str) -> records.Record:
        string = text.encode("utf-8")[:_MAX_STRING_OCTETS]
        return records.txt(question.qname_as_sent, (string,), 0, records.CH)


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage; the listener lets classes other than IN in."""
    block.serves_any_class = True
    block.add(Chaos(settings.version, settings.authors, socket.gethostname() or "localhost"))


DIRECTIVE = Directive("chaos", Settings, install=install, summary="Version and name of the server.")
