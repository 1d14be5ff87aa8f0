"""Time limits for many things at once with one timer.

Owns the order of expiry: everything on a list has the same time, so it expires in the order in
which it came. However many expire at one moment, other work goes on between them. Refuses to know
what waits.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

TOGETHER: Final = 16  # that end in one turn of the reactor; each may ask the next upstream


class Waiting(Protocol):
    """What can stand on a `Waitlist`."""

    def timed_out(self) -> None: ...


class Waitlist:
    """Calls `timed_out` on what has waited for `seconds`."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self.seconds = seconds
        self._now = clock.seconds
        self._clock = clock
        self._expiry: dict[Waiting, float] = {}
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._expiry)

    def add(self, waiting: Waiting) -> None:
        """Let `waiting` wait, anew if it is on the list already."""
        self._expiry.pop(waiting, None)
        self.add_at(waiting, self._now())

    def add_at(self, waiting: Waiting, now: float) -> None:
        """Let `waiting`, which is not on the list, wait from `now` on."""
        self._expiry[waiting] = now + self.seconds
        if self._call is None:
            self._call = self._clock.callLater(self.seconds, self._sweep)

    def remove(self, waiting: Waiting) -> None:
        """Forget `waiting`."""
        self._expiry.pop(waiting, None)

    def _sweep(self) -> None:
        self._call = None
        now = self._now()
        expired: list[Waiting] = []
        for waiting, expiry in self._expiry.items():
            if expiry > now or len(expired) == TOGETHER:
                self._call = self._clock.callLater(max(0.0, expiry - now), self._sweep)
                break
            expired.append(waiting)
        for waiting in expired:
            # An earlier one of this sweep may have ended or renewed it.
            if self._expiry.get(waiting, now + 1) <= now:
                del self._expiry[waiting]
                waiting.timed_out()

    def stop(self) -> list[Waiting]:
        """Forget everything; return what waited."""
        waiting = list(self._expiry)
        self._expiry.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        return waiting
