"""``errors``: log what went wrong with a query (CoreDNS plugin/errors)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    argument,
    convert,
    counted,
    flag,
    parsed,
)
from k8sdns.server.draft import BlockDraft
from k8sdns.server.errorlog import LEVELS, Consolidation, ErrorLog

_SHOW_FIRST = "show_first"


def _consolidation(line: Line, context: Context) -> Consolidation:
    """Read ``consolidate DURATION REGEXP [LEVEL] [show_first]``."""
    period, pattern, *rest = counted(line, context, 2, 4, "DURATION REGEXP [LEVEL] [show_first]")
    words = [token.text for token in rest]
    show_first = words[-1:] == [_SHOW_FIRST]
    if show_first:
        words.pop()
    if len(words) > 1 or any(word not in LEVELS for word in words):
        wrong = next((word for word in words if word not in LEVELS), words[-1])
        raise ValueError(
            f"unknown log level or option in consolidate: {wrong}; "
            f"write one of {', '.join(LEVELS)}, then show_first"
        )
    return Consolidation(
        convert(kinds.duration(0.001), period, context),
        convert(kinds.regex(), pattern, context),
        pattern.text,
        words[0] if words else "error",
        show_first,
    )


@dataclass(frozen=True)
class Settings:
    """Logs one line for each query that ended in an error of this server's own."""

    target: str = argument(
        kinds.choice("stdout", complaint="invalid log file: {}"),
        default="stdout",
        help="Where to log; standard output is all there is.",
    )
    consolidate: tuple[Consolidation, ...] = parsed(
        _consolidation,
        form="DURATION REGEXP [LEVEL] [show_first]",
        help="Count errors that match, and log one line for all of them after DURATION.",
    )
    stacktrace: bool = flag(help="Log bugs with a traceback; they always are.")


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the observer."""
    block.add(ErrorLog(settings.consolidate, block.context.clock))


DIRECTIVE = Directive(
    "errors", Settings, install=install, summary="Log queries that ended in an error."
)
