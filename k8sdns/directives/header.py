"""``header``: header flags set or cleared (CoreDNS plugin/header)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from zope.interface import implementer

from k8sdns.answers import AA, RA, RD, SILENT, Answer, Question
from k8sdns.authorities.revision import revised
from k8sdns.corefile.settings import Context, Directive, Line, Mistake, counted, parsed
from k8sdns.interfaces import IStage
from k8sdns.server.block import Answered, Respond
from k8sdns.server.draft import BlockDraft
from k8sdns.waiting import then

_FLAGS = {"aa": AA, "ra": RA, "rd": RD}


class Change(NamedTuple):
    """Flag bits to set, and bits to keep of what was there."""

    keep: int = 0xFFFF
    put: int = 0

    def __call__(self, flags: int) -> int:
        return flags & self.keep | self.put


def _change(line: Line, context: Context) -> Change:
    action, *flags = counted(line, context, 2, None, "set|clear FLAG…")
    if action.text not in {"set", "clear"}:
        raise ValueError(
            f"setting up rule: unknown flag action={action.text}, should be set or clear"
        )
    bits = 0
    for flag in flags:
        if flag.text not in _FLAGS:
            raise ValueError(
                f"setting up rule: unknown/unsupported flag={flag.text}; one of aa, ra, rd"
            )
        bits |= _FLAGS[flag.text]
    if line[0].text == "response" and bits & RD:
        context.warn("a reply repeats the query's rd (RFC 1035 §4.1.1): it stays as it is", line[0])
        bits &= ~RD
    return Change(put=bits) if action.text == "set" else Change(keep=~bits & 0xFFFF)


@dataclass(frozen=True)
class Settings:
    """Sets and clears header flags, line by line."""

    query: tuple[Change, ...] = parsed(
        _change, form="set|clear FLAG…", help="Change flags of the query as it goes on."
    )
    response: tuple[Change, ...] = parsed(
        _change, form="set|clear FLAG…", help="Change flags of the reply: `aa`, `ra`."
    )

    def check(self, _context: Context) -> None:
        """Without a rule there is nothing to do."""
        if not self.query and not self.response:
            raise Mistake("write at least one rule: query|response set|clear FLAG…")


@implementer(IStage)
class HeaderFlags:
    """Changes flags on the way in and on the way out."""

    def __init__(self, query: Iterable[Change], response: Iterable[Change]) -> None:
        self._query = _together(query)
        self._response = _together(response)

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Ask with other flags, answer with other flags."""
        flags = self._query(question.flags)
        if flags != question.flags:
            question = question.changed()
            question.flags = flags
        return then(rest(question), self._out)

    def _out(self, answer: Answer) -> Answer:
        flags = self._response(answer.flags)
        if flags == answer.flags or answer is SILENT:
            return answer
        return revised(answer, flags=flags)


def _together(changes: Iterable[Change]) -> Change:
    """Return one change that does what all of them do, one after another."""
    together = Change()
    for change in changes:
        together = Change(together.keep & change.keep, together.put & change.keep | change.put)
    return together


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(HeaderFlags(settings.query, settings.response))


DIRECTIVE = Directive("header", Settings, install=install, summary="Set or clear header flags.")
