"""A token bucket for requests to the API server.

Owns: how long the next request has to wait. Refuses to know requests, and timers.
"""

from __future__ import annotations

from collections.abc import Callable

DEFAULT_QPS, DEFAULT_BURST = 5.0, 10
"""client-go's, where the Corefile says nothing or 0."""


class RateLimit:
    """Lets `burst` requests go at once and `qps` a second in the long run."""

    def __init__(self, now: Callable[[], float], qps: float = 0.0, burst: int = 0) -> None:
        self._now = now
        self._qps = qps or DEFAULT_QPS
        self._burst = burst or DEFAULT_BURST
        self._tokens = float(self._burst)
        self._at = now()

    def reserve(self) -> float:
        """Take the next turn and return the seconds until it comes."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._qps)
        self._at = now
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self._qps)
