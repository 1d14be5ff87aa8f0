"""The one table of metric names, and counters kept as plain dicts.

Owns what is counted and under which name; a scrape turns it into Prometheus samples
(`k8sdns.web.metrics`). Refuses to know HTTP. Nothing here is global but the names: every server
in a process has a `Metrics` of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

Labels = tuple[str, ...]


class Metric(NamedTuple):
    """One metric family as operators see it; names and labels are a public promise."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()


class Counts(dict[Labels, float]):
    """Values by label values; a missing one is 0."""

    def __missing__(self, key: Labels) -> float:
        return 0

    def add(self, *labels: str, by: float = 1) -> None:
        """Count `by` more under these label values."""
        self[labels] = self[labels] + by


class Histogram:
    """Observations by label values, counted in buckets; `counts` hold one more than the bounds."""

    __slots__ = ("bounds", "counts", "sums")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts: dict[Labels, list[int]] = {}
        self.sums = Counts()

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation; a value equal to a bound belongs to its bucket."""
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.counts[labels] = [0] * (len(self.bounds) + 1)
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] = self.sums[labels] + value


TIME_BUCKETS = tuple(0.00025 * 2**k for k in range(16))
SLIM_TIME_BUCKETS = (0.00025, 0.0025, 0.025, 0.25, 2.5)
SIZE_BUCKETS = (
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3,
)  # fmt: skip

PANICS = Metric("coredns_panics_total", "counter", "Bugs met while answering a query.")
LOG_DROPPED = Metric(
    "k8sdns_log_dropped_total", "counter", "Log lines dropped because nobody read them in time."
)
SOCKET_BUFFER = Metric(
    "k8sdns_udp_receive_buffer_bytes", "gauge", "Effective SO_RCVBUF of a UDP socket.", ("address",)
)
QUERIES_WAITING = Metric(
    "k8sdns_queries_waiting", "gauge", "Queries whose answer is waited for (an upstream, mostly)."
)


class Metrics:
    """The counters of one server, made on first use; a `Metric` names each."""

    def __init__(self) -> None:
        self.counts: dict[Metric, Counts] = {}
        self.histograms: dict[Metric, Histogram] = {}
        self._before_scrape: list[Callable[[], None]] = []

    def counter(self, metric: Metric) -> Counts:
        """Return the values of a counter or gauge; one without labels begins at 0."""
        counts = self.counts.get(metric)
        if counts is None:
            counts = self.counts[metric] = Counts()
            if not metric.labels:
                counts[()] = 0
        return counts

    gauge = counter

    def histogram(self, metric: Metric) -> Histogram:
        """Return the observations of a histogram."""
        if metric not in self.histograms:
            self.histograms[metric] = Histogram(metric.buckets)
        return self.histograms[metric]

    def before_scrape(self, call: Callable[[], None]) -> None:
        """Have `call` bring gauges up to date before each scrape."""
        self._before_scrape.append(call)

    def refresh(self) -> None:
        """Run what `before_scrape` registered."""
        for call in self._before_scrape:
            call()

    def families(self) -> Iterable[Metric]:
        """Return every metric in use."""
        return [*self.counts, *self.histograms]
