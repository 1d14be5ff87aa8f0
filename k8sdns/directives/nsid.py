"""``nsid``: tells clients who ask which server answered (CoreDNS plugin/nsid, RFC 5001)."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from zope.interface import implementer

from k8sdns.answers import SILENT, Answer, Question
from k8sdns.authorities.revision import revised
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Mistake, arguments
from k8sdns.interfaces import IStage
from k8sdns.server.block import Answered, Respond
from k8sdns.server.draft import BlockDraft
from k8sdns.waiting import then

NSID = 3  # the option's code (RFC 5001 §2.3)
_MAX_OCTETS = 512


@dataclass(frozen=True)
class Settings:
    """Puts an identifier into replies to clients who ask for one."""

    identifier: tuple[str, ...] = arguments(
        kinds.text("WORD"),
        help="The identifier; several words are one text with spaces.",
        shown="the host name",
    )

    def check(self, _context: Context) -> None:
        """It travels in every reply that asks for it."""
        if len(self.octets) > _MAX_OCTETS:
            raise Mistake(f"an identifier has at most {_MAX_OCTETS} octets")

    @property
    def octets(self) -> bytes:
        """The identifier as it is sent."""
        text = " ".join(self.identifier) or socket.gethostname() or "localhost"
        return text.encode("utf-8")


@implementer(IStage)
class Identifier:
    """Adds the option to what comes back, if the client sent one (RFC 5001 §2.1)."""

    def __init__(self, identifier: bytes) -> None:
        self._option = (NSID, identifier)

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Ask on; sign the reply where the client asked for it."""
        edns = question.edns
        if edns is None or all(code != NSID for code, _ in edns.options):
            return rest(question)
        return then(rest(question), self._sign)

    def _sign(self, answer: Answer) -> Answer:
        if answer is SILENT:
            return answer
        return revised(answer, options=(*answer.options, self._option))


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(Identifier(settings.octets))


DIRECTIVE = Directive("nsid", Settings, install=install, summary="Say which server answered.")
