"""Metrics of several processes on one page.

Owns: what a child says of its counters, and how the parent adds it up. Counters and histograms
come as differences, so that what a worker counted stays counted when it dies. Refuses to know
what is counted, but for which gauges of workers are parts of a whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from k8sdns.metrics import CACHE_ENTRIES, QUERIES_WAITING, Counts, Labels, Metric, Metrics
from k8sdns.workers.control import Counted

SUMMED: Final = frozenset({CACHE_ENTRIES, QUERIES_WAITING})
"""Gauges that add up; of the others every process shows the same, and the largest is shown."""

_Values = tuple[tuple[Labels, float], ...]


class Tally:
    """In a child: what the parent was told so far."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._counts: dict[Metric, dict[Labels, float]] = {}
        self._histograms: dict[Metric, dict[Labels, tuple[tuple[int, ...], float]]] = {}

    def counted(self) -> Counted:
        """Return what is new; the next call takes it as told."""
        self._metrics.refresh()
        counters, gauges = [], []
        for metric, counts in self._metrics.counts.items():
            if metric.kind == "gauge":
                gauges.append((metric, tuple(counts.items())))
            elif news := self._news(metric, counts):
                counters.append((metric, news))
        return Counted(tuple(counters), tuple(gauges), tuple(self._observed()))

    def _news(self, metric: Metric, counts: Counts) -> _Values:
        is_new = metric not in self._counts
        told = self._counts.setdefault(metric, {})
        news = tuple(
            (labels, value - told.get(labels, 0))
            for labels, value in counts.items()
            if is_new or labels not in told or value != told[labels]
        )
        told.update(counts)
        return news

    def _observed(self) -> list[tuple[Metric, tuple[tuple[Labels, tuple[int, ...], float], ...]]]:
        found = []
        for metric, histogram in self._metrics.histograms.items():
            told = self._histograms.setdefault(metric, {})
            news = []
            for labels, counts in histogram.counts.items():
                now = (tuple(counts), histogram.sums[labels])
                before, total = told.get(labels, ((0,) * len(counts), 0.0))
                if labels in told and now[0] == before:
                    continue
                told[labels] = now
                difference = tuple(a - b for a, b in zip(now[0], before, strict=True))
                news.append((labels, difference, now[1] - total))
            if news:
                found.append((metric, tuple(news)))
        return found


class Gathered:
    """In the parent: what children told, put into the metrics that the page shows."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._gauges: dict[Hashable, tuple[tuple[Metric, _Values], ...]] = {}
        self._shown: dict[Metric, set[Labels]] = {}
        metrics.before_scrape(self._show_gauges)

    def add(self, child: Hashable, counted: Counted) -> None:
        """Take what one child told."""
        for metric, values in counted.counters:
            counts = self._metrics.counter(metric)
            for labels, value in values:
                counts[labels] = counts[labels] + value
        for metric, observed in counted.histograms:
            histogram = self._metrics.histogram(metric)
            for labels, buckets, total in observed:
                histogram.add(labels, buckets, total)
        self._gauges[child] = counted.gauges

    def forget(self, child: Hashable) -> None:
        """A child is gone: its gauges mean nothing any more."""
        self._gauges.pop(child, None)

    def _show_gauges(self) -> None:
        sums: dict[Metric, dict[Labels, float]] = {}
        for gauges in self._gauges.values():
            for metric, values in gauges:
                known = sums.setdefault(metric, {})
                for labels, value in values:
                    if metric in SUMMED:
                        known[labels] = known.get(labels, 0) + value
                    else:
                        known[labels] = max(known.get(labels, value), value)
        for metric, shown in self._shown.items():
            gauge = self._metrics.gauge(metric)
            for labels in shown - sums.get(metric, {}).keys():
                gauge.pop(labels, None)
        for metric, values_ in sums.items():
            self._metrics.gauge(metric).update(values_)
        self._shown = {metric: set(values_) for metric, values_ in sums.items()}
