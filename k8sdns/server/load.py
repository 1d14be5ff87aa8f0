"""How busy this process is: gaps of its event loop, and how much of its CPU it needs.

Owns one timer, whose lateness is the gap, and the reading of what the scheduler says of this
thread. Refuses to know queries. Started by who shows metrics; nobody else pays for the timer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.application.service import Service

from k8sdns.metrics import EVENT_LOOP_GAP, SATURATION, Metrics
from k8sdns.server.cores import cpu_quota

PERIOD: Final = 0.1  # seconds between two looks at the clock
SAMPLE_EVERY: Final = 10  # looks
WINDOW: Final = 10  # samples that the ratio is about

_SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")


class Needed(NamedTuple):
    """Seconds that a thread ran, and that it waited for a CPU, so far."""

    ran: float
    waited: float


def needed() -> Needed:
    """Return what this thread needed (Linux sched-stats; without it, waiting is unknown)."""
    try:
        ran, waited, _ = _SCHEDSTAT.read_text(encoding="ascii").split()
        return Needed(int(ran) / 1e9, int(waited) / 1e9)
    except (OSError, ValueError):
        return Needed(time.thread_time(), 0.0)


class Load(Service):
    """Observes the event loop that it is run by; `clock` must be that loop's."""

    def __init__(
        self,
        clock: Any,
        metrics: Metrics,
        *,
        needed: Callable[[], Needed] = needed,
        quota: float | None = None,
    ) -> None:
        self._clock = clock
        self._gaps = metrics.histogram(EVENT_LOOP_GAP)
        self._saturation = metrics.gauge(SATURATION)
        self._needed = needed
        self._allowed = min(1.0, quota) if quota else 1.0
        self._samples: deque[tuple[float, Needed]] = deque(maxlen=WINDOW + 1)
        self._looks = 0
        self._due = 0.0
        self._call: Any = None

    def startService(self) -> None:
        """Begin to look."""
        super().startService()  # type: ignore[no-untyped-call]
        self._saturation[()] = 0
        self._sample()
        self._wait()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _wait(self) -> None:
        self._due = self._clock.seconds() + PERIOD
        self._call = self._clock.callLater(PERIOD, self._look)

    def _look(self) -> None:
        self._gaps.observe(max(0.0, self._clock.seconds() - self._due))
        self._looks += 1
        if self._looks % SAMPLE_EVERY == 0:
            self._sample()
        self._wait()

    def _sample(self) -> None:
        """Show which share of the time the thread ran, or would have, had a CPU been free."""
        self._samples.append((self._clock.seconds(), self._needed()))
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        if end <= begin:
            return
        ran, waited = after.ran - before.ran, after.waited - before.waited
        share = (ran / self._allowed + waited) / (end - begin)
        self._saturation[()] = min(1.0, max(0.0, share))


def load_of(clock: Any, metrics: Metrics) -> Load:
    """Return the Load of this process, by the CPU that its control group may use."""
    return Load(clock, metrics, quota=cpu_quota())
