"""What went wrong with queries: a line each, or many of a kind in one line from time to time.

Owns: the form of the lines, how many there may be, and the counts between summaries. Refuses to
know which errors there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.corefile.durations import go_duration
from k8sdns.interfaces import IFailureObserver

# The lines speak for the directive.
log = Logger(namespace="k8sdns.directives.errors")

LINES_A_SECOND: Final = 100

# In CoreDNS's words.
LEVELS = {
    "warning": LogLevel.warn,
    "error": LogLevel.error,
    "info": LogLevel.info,
    "debug": LogLevel.debug,
}


@dataclass(frozen=True)
class Consolidation:
    """Errors whose text `pattern` finds are counted, and told of every `period` seconds."""

    period: float
    pattern: re.Pattern[str]
    text: str  # the pattern as it was written
    level: str = "error"
    show_first: bool = False


class Gathering:
    """The errors of one kind since the first that was not told of yet."""

    def __init__(self, consolidation: Consolidation, clock: IReactorTime) -> None:
        self._consolidation = consolidation
        self._level = LEVELS[consolidation.level]
        self._clock = clock
        self._count = 0
        self._call: IDelayedCall | None = None

    def takes(self, error: str) -> bool:
        """Tell whether the error is of this kind."""
        return self._consolidation.pattern.search(error) is not None

    def count(self, line: str) -> None:
        """Count one error; the first begins a period."""
        self._count += 1
        if self._call is not None:
            return
        if self._consolidation.show_first:
            log.emit(self._level, "{line}", line=line)
        self._call = self._clock.callLater(self._consolidation.period, self._tell)

    def _tell(self) -> None:
        self._call = None
        count, self._count = self._count, 0
        if count > self._consolidation.show_first:
            log.emit(
                self._level,
                "{count} errors like '{pattern}' occurred in last {period}",
                count=count,
                pattern=self._consolidation.text,
                period=go_duration(self._consolidation.period),
            )

    def flush(self) -> None:
        """Tell what there is now: there will be no later."""
        if self._call is not None:
            self._call.cancel()
            self._tell()


@implementer(IFailureObserver)
class ErrorLog(Service):
    """Writes ``<rcode> <name> <type>: <error>`` for each Answer that carries an error.

    At most `LINES_A_SECOND`; of what is beyond, the number is told and the last line. A line costs
    more than refusing a query does, and it is under overload that there are most of them.
    """

    def __init__(self, consolidations: Iterable[Consolidation], clock: IReactorTime) -> None:
        self._gatherings = tuple(Gathering(each, clock) for each in consolidations)
        self._clock = clock
        self._written = 0
        self._untold = 0
        self._last: tuple[Question, Answer] | None = None
        self._second: IDelayedCall | None = None

    def saw_failure(self, question: Question, answer: Answer) -> None:
        """Log or count the error of an Answer."""
        if self._gatherings:
            error = str(answer.error)
            for gathering in self._gatherings:
                if gathering.takes(error):
                    gathering.count(_line(question, answer))
                    return
        if self._written >= LINES_A_SECOND:
            self._untold += 1
            self._last = (question, answer)
            return
        self._written += 1
        if self._second is None:
            self._second = self._clock.callLater(1.0, self._tell)
        log.error("{line}", line=_line(question, answer))

    def _tell(self) -> None:
        """A second is over: tell what was beyond, and begin another."""
        self._second = None
        self._written = 0
        if self._last is not None:
            line, count = _line(*self._last), self._untold
            self._last, self._untold = None, 0
            log.error("{count} more errors in a second, the last: {line}", count=count, line=line)

    def stopService(self) -> None:
        """Tell what was counted and not told of yet."""
        super().stopService()  # type: ignore[no-untyped-call]
        for gathering in self._gatherings:
            gathering.flush()
        if self._second is not None:
            self._second.cancel()
            self._tell()


def _line(question: Question, answer: Answer) -> str:
    qtype = records.type_name(question.qtype)
    return f"{answer.rcode} {question.name_text} {qtype}: {answer.error}"
