"""How long to wait before trying again: growing pauses with jitter, as client-go's reflector makes.

Owns: the numbers. Refuses to know what is tried, and timers.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE, LONGEST_PAUSE = 0.8, 30.0
CALM_AFTER = 120.0
"""Seconds without a pause after which the next one is short again."""


class Pauses:
    """Each pause is uniform in [d, 2d); d doubles up to a limit and is short again after a calm."""

    def __init__(self, now: Callable[[], float], uniform: Callable[[float, float], float]) -> None:
        self._now = now
        self._uniform = uniform
        self._pause = FIRST_PAUSE
        self._paused_at = float("-inf")

    def next(self) -> float:
        """Return the seconds of the next pause."""
        now = self._now()
        if now - self._paused_at > CALM_AFTER:
            self._pause = FIRST_PAUSE
        self._paused_at = now
        pause = self._pause
        self._pause = min(2 * pause, LONGEST_PAUSE)
        return self._uniform(pause, 2 * pause)
