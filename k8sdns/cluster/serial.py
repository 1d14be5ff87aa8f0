"""The serial of a zone that is made from live objects.

Owns: when a serial moves and to what. Refuses to know what changed.
"""

from __future__ import annotations

from collections.abc import Callable


class Serial:
    """A zone serial that moves for every change anybody can tell apart, and never goes back.

    It is the Unix time of the change (CoreDNS), read lazily: changes between two readings are one
    step. A second step within a second takes the next number, so that a secondary which has seen
    the first asks for the second too (RFC 1982 §3; CoreDNS leaves such a change unseen).
    """

    __slots__ = ("_clock", "_moved_at", "_value")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moved_at: float | None = None
        self._value = 0

    def move(self) -> None:
        """Say that something changed."""
        self._moved_at = self._clock()

    def value(self) -> int:
        """Return the serial, a 32-bit number."""
        if self._moved_at is not None:
            self._value = max(int(self._moved_at), self._value + 1) & 0xFFFFFFFF
            self._moved_at = None
        return self._value
