"""A bound on waiting: how many queries may wait for their answer, and for how long.

One timer serves all of them, whatever their number: entries stand in the order in which they
expire, and only the oldest is looked at.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from k8sdns.waiting import Pending

T = TypeVar("T")
Waiting: TypeAlias = "Pending | Deferred[Any]"

WAIT_SECONDS = 12.0
MAX_WAITING = 20_000
TOGETHER = 16  # that are cancelled in one turn of the reactor: each is a reply to send


class Deadlines:
    """Cancels what takes longer than `seconds`; beyond `bound` waiting at once, what comes last."""

    def __init__(
        self, clock: IReactorTime, seconds: float = WAIT_SECONDS, bound: int = MAX_WAITING
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._bound = bound
        self._expiry: dict[Waiting, float] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._expiry)

    def watch(self, waiting: Deferred[T]) -> Deferred[T]:
        """Cancel `waiting` if it has not fired in time; returns it."""
        self.begin(waiting)
        return waiting.addBoth(self._fired, waiting)

    def begin(self, waiting: Waiting) -> bool:
        """Cancel `waiting` unless `end` is called in time; False where too many wait already.

        It is cancelled then. `watch` is for those who do not call `end` anyway.
        """
        if len(self._expiry) >= self._bound:
            waiting.cancel()
            return False
        self._expiry[waiting] = self._clock.seconds() + self._seconds
        if self._call is None:
            self._call = self._clock.callLater(self._seconds, self._sweep)
        return True

    def end(self, waiting: Waiting) -> None:
        """`waiting` has fired."""
        self._expiry.pop(waiting, None)

    def _fired(self, result: T, waiting: Deferred[Any]) -> T:
        self.end(waiting)
        return result

    def _sweep(self) -> None:
        self._call = None
        now = self._clock.seconds()
        expired: list[Waiting] = []
        for entry, expiry in self._expiry.items():
            if expiry > now or len(expired) == TOGETHER:
                self._call = self._clock.callLater(max(0.0, expiry - now), self._sweep)
                break
            expired.append(entry)
        for entry in expired:
            # An earlier one of this sweep may have ended it.
            if self._expiry.pop(entry, None) is not None:
                entry.cancel()

    def cancel_all(self) -> None:
        """Give up on everything that waits: the server is going away."""
        for entry in list(self._expiry):
            entry.cancel()
        if self._call is not None:
            self._call.cancel()
            self._call = None
