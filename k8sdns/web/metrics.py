"""``/metrics``: what was counted, as Prometheus reads it.

Owns the page: the samples of every metric, and their rendering in slices, so that a scrape of
any size never keeps a query waiting. The formats and their choice are `prometheus_client`'s.
Refuses to know who counts. (CoreDNS plugin/metrics.)
"""

from __future__ import annotations

import platform
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate, islice
from time import perf_counter
from typing import Any, Final, Protocol

import prometheus_client
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString
from twisted.application.service import Service
from twisted.internet.task import Cooperator, TaskStopped
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

import k8sdns
from k8sdns.metrics import (
    BUILD_INFO,
    PLUGIN_ENABLED,
    Histogram,
    Labels,
    Metric,
    Metrics,
)
from k8sdns.web.queries import QueryTable

log = Logger(namespace="k8sdns.web.prometheus")

PATH: Final = b"/metrics"
SLICE: Final = 0.0005  # seconds of rendering after which the reactor has its turn
CHUNK: Final = 50  # samples rendered at once, about a third of a millisecond
END_OF_OPENMETRICS: Final = b"# EOF\n"


class Collector(Protocol):
    """What prometheus_client calls a collector."""

    def collect(self) -> Iterable[Family]: ...


class Enabled:
    """The directives of the generations that live, for coredns_plugin_enabled."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.gauge(PLUGIN_ENABLED)
        self._owners: dict[Labels, int] = {}

    def begin(self, labels: Iterable[Labels]) -> None:
        """Show these."""
        for each in labels:
            self._owners[each] = self._owners.get(each, 0) + 1
            self._gauge[each] = 1

    def end(self, labels: Iterable[Labels]) -> None:
        """Show these no longer, unless another generation has them."""
        for each in labels:
            self._owners[each] -= 1
            if not self._owners[each]:
                del self._owners[each], self._gauge[each]


class EnabledWhileRunning(Service):
    """Shows one block's directives as enabled while it runs; each of `labels` is a series."""

    def __init__(self, enabled: Enabled, labels: Iterable[Labels]) -> None:
        self._enabled = enabled
        self._labels = tuple(labels)

    def startService(self) -> None:
        """Show them."""
        super().startService()  # type: ignore[no-untyped-call]
        self._enabled.begin(self._labels)

    def stopService(self) -> None:
        """Hide them."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._enabled.end(self._labels)


def build_info(metrics: Metrics) -> None:
    """Say what is running."""
    version = f"{platform.python_implementation()} {platform.python_version()}"
    metrics.gauge(BUILD_INFO)[(k8sdns.__version__, "", version)] = 1


class MetricsPage(Resource):
    """Everything of one server's metrics, and of its process."""

    isLeaf = True

    def __init__(
        self, metrics: Metrics, queries: QueryTable, reactor: Any, *, with_runtime: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._metrics = metrics
        self._queries = queries
        self._cooperator = Cooperator(_time_is_up, partial(reactor.callLater, 0))
        self._others = _process_collectors(with_runtime=with_runtime)

    def render_GET(self, request: Request) -> int:
        """Begin to render; the reply is sent when it is whole."""
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader(b"content-type", content_type.encode())
        pack = _packing(request)
        parts: list[bytes] = []
        task = self._cooperator.cooperate(self._rendered(encode, pack, parts))
        request.notifyFinish().addErrback(lambda _: _stop(task))
        done = task.whenDone()
        done.addCallback(lambda _: _send(request, b"".join(parts)))
        done.addErrback(_failed, request)
        return NOT_DONE_YET

    def _rendered(
        self, encode: Callable[[Any], bytes], pack: Any, parts: list[bytes]
    ) -> Iterator[None]:
        """Add the packed page to `parts`, piece by piece."""
        yield from self._metrics.refreshing()
        yield from self._queries.fold()
        for piece in exposition(self._families(), encode):
            parts.append(pack.compress(piece) if pack else piece)
            yield
        if pack:
            parts.append(pack.flush())

    def _families(self) -> Iterator[tuple[Family, Iterator[Sample]]]:
        yield from families(self._metrics)
        for collector in self._others:
            for family in collector.collect():
                samples, family.samples = family.samples, []
                yield family, iter(samples)


def _stop(task: Any) -> None:
    try:
        task.stop()
    except Exception:  # noqa: BLE001 - it had ended already
        return


def _send(request: Request, page: bytes) -> None:
    request.setHeader(b"content-length", b"%d" % len(page))
    if request.method != b"HEAD":
        request.write(page)
    request.finish()


def _failed(failure: Any, request: Request) -> None:
    if failure.check(TaskStopped):  # the client went away
        return
    log.failure("The metrics could not be rendered", failure)
    request.setResponseCode(500)
    request.responseHeaders.removeHeader(b"content-encoding")
    _send(request, b"the metrics could not be rendered: see the log\n")


def _packing(request: Request) -> Any:
    """Return what packs the reply, or None; Prometheus asks for gzip."""
    if "gzip" not in (request.getHeader("accept-encoding") or ""):
        return None
    request.setHeader(b"content-encoding", b"gzip")
    return zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)


def _time_is_up() -> Callable[[], bool]:
    end = perf_counter() + SLICE
    return lambda: perf_counter() > end


def _process_collectors(*, with_runtime: bool) -> list[Collector]:
    found: list[Collector] = [prometheus_client.ProcessCollector(registry=None)]
    if with_runtime:
        own = prometheus_client.CollectorRegistry()
        found.append(prometheus_client.GCCollector(registry=own))
        found.append(prometheus_client.PlatformCollector(registry=None))
    return found


class _One:
    """A collector of one family."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


def exposition(
    found: Iterable[tuple[Family, Iterator[Sample]]], encode: Callable[[Any], bytes]
) -> Iterator[bytes]:
    """Yield the page of `found` in pieces of at most `CHUNK` samples.

    `encode` is an encoder of prometheus_client; each piece is a page of its own to it, whose
    heading and end are cut off where another piece of the same family or page stands beside it.
    """
    ending = b""
    for family, samples in found:
        heading = b""
        for chunk in _chunks(samples):
            family.samples = chunk
            page = encode(_One(family))
            if page.endswith(END_OF_OPENMETRICS):
                ending = END_OF_OPENMETRICS
                page = page[: -len(ending)]
            yield page.removeprefix(heading)
            heading = heading or _heading(page)
    yield ending


def _chunks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    """Yield lists of the samples, at least one list, which may be empty."""
    chunk = list(islice(samples, CHUNK))
    yield chunk
    while chunk := list(islice(samples, CHUNK)):
        yield chunk


def _heading(page: bytes) -> bytes:
    lines = page.splitlines(keepends=True)
    return b"".join(line for line in lines if line.startswith(b"# "))


def families(metrics: Metrics) -> Iterator[tuple[Family, Iterator[Sample]]]:
    """Yield each metric's family, without samples, and its samples."""
    for metric, counts in list(metrics.counts.items()):
        yield _family(metric), _values(metric, list(counts.items()))
    for metric, histogram in list(metrics.histograms.items()):
        yield _family(metric), _buckets(metric, histogram)


def _family(metric: Metric) -> Family:
    name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    return Family(name, metric.help, metric.kind)


def _values(metric: Metric, values: list[tuple[Labels, float]]) -> Iterator[Sample]:
    for labels, value in values:
        yield Sample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)


def _buckets(metric: Metric, histogram: Histogram) -> Iterator[Sample]:
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    for labels in list(histogram.counts):
        named = dict(zip(metric.labels, labels, strict=True))
        # Read at one moment: a histogram must be true in itself.
        counts, total = list(accumulate(histogram.counts[labels])), histogram.sums[labels]
        for bound, count in zip(bounds, counts, strict=True):
            yield Sample(f"{metric.name}_bucket", {**named, "le": bound}, count)
        yield Sample(f"{metric.name}_sum", named, total)
        yield Sample(f"{metric.name}_count", named, counts[-1])
