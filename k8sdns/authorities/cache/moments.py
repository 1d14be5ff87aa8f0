"""Answers that stay the same for a moment: an aged reply, until its TTL is a second less.

Owns when such moments end: one timer ends them all. Refuses to know what the Answers say.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

from k8sdns.answers import Answer

MOMENT_SECONDS: Final = 0.5  # by so much at the most a repeated TTL is older than it says


class Moments:
    """Makes Answers current for `MOMENT_SECONDS` at the most."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._current: list[Answer] = []

    def hold(self, answer: Answer) -> None:
        """Let `answer` be given again until the moment is over."""
        answer.is_current = True
        if not self._current:
            self._clock.callLater(MOMENT_SECONDS, self._end)
        self._current.append(answer)

    def _end(self) -> None:
        for answer in self._current:
            answer.is_current = False
        self._current.clear()
