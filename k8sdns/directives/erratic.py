"""``erratic``: a server that misbehaves, for tests (CoreDNS plugin/erratic)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.authorities.erratic import ErraticAuthority, Misbehaviour
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Line, convert, counted, flag, parsed
from k8sdns.server.draft import BlockDraft

_EVERY = 2
_DELAY_TIME = 0.1


def _every(line: Line, context: Context) -> int:
    words = counted(line, context, 0, 1, "[N]")
    return convert(kinds.integer(0), words[0], context) if words else _EVERY


def _delay(line: Line, context: Context) -> tuple[int, float]:
    words = counted(line, context, 0, 2, "[N [DURATION]]")
    every = convert(kinds.integer(0), words[0], context) if words else _EVERY
    if len(words) < 2:
        return every, _DELAY_TIME
    return every, convert(kinds.duration(0, 60), words[1], context)


@dataclass(frozen=True)
class Settings:
    """Answers every name with 192.0.2.53 and 2001:db8::53, if it answers."""

    drop: int | None = parsed(
        _every,
        form="[N]",
        default=None,
        gathers=False,
        help="Leave every Nth query unanswered (2 without a number).",
        shown="2, or none if there is another option",
    )
    truncate: int = parsed(
        _every,
        form="[N]",
        default=0,
        gathers=False,
        help="Truncate every Nth answer (2 without a number).",
        shown="none",
    )
    delay: tuple[int, float] | None = parsed(
        _delay,
        form="[N [DURATION]]",
        default=None,
        gathers=False,
        help="Delay every Nth answer (2 without a number) for so long (0.1s without a time).",
        shown="none",
    )
    large: bool = flag(help="Answer type A with 30 records, as many as 512 octets hold at most.")

    @property
    def misbehaviour(self) -> Misbehaviour:
        """What is to happen; dropping gives way to what is asked for by name."""
        drop = self.drop
        if drop is None:
            drop = 0 if self.truncate or self.delay else _EVERY
        delay, delay_time = self.delay or (0, _DELAY_TIME)
        return Misbehaviour(drop, self.truncate, delay, delay_time, self.large)


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the authority; it answers everything."""
    block.add(ErraticAuthority(settings.misbehaviour, block.context.clock))


DIRECTIVE = Directive("erratic", Settings, install=install, summary="Misbehave, for tests.")
