"""When a server that was told to end may end: once nobody asks any more, or its grace is over.

Owns: the arithmetic of draining. Refuses to know reactors, signals and sockets: it is given times.

A cluster goes on sending queries to a pod for a while after the pod was told to end, until every
node has taken it out of the Service; a server that stops at once loses them.
"""

from __future__ import annotations

from collections.abc import Callable

QUIET_AFTER = 3.0  # seconds without a question after which nobody asks any more
GRACE = 5.0  # seconds after which the server ends though it is still asked


class Drain:
    """One draining, from the moment it is made. All times are seconds of one monotonic clock."""

    def __init__(
        self,
        now: float,
        last_asked_at: Callable[[], float | None],
        *,
        quiet_after: float = QUIET_AFTER,
        grace: float = GRACE,
    ) -> None:
        self._began = now
        self._last_asked_at = last_asked_at
        self._quiet_after = quiet_after
        self._grace = grace

    def remaining(self, now: float) -> float:
        """Return in how many seconds to look again; 0.0 when the server may end.

        A server that was never asked ends at once. One that was asked waits for `quiet_after`
        seconds of silence from the beginning of the draining on, and never longer than `grace`.
        """
        last = self._last_asked_at()
        if last is None:
            return 0.0
        quiet_at = max(last, self._began) + self._quiet_after
        return max(0.0, min(quiet_at, self._began + self._grace) - now)
