"""The one table of metric names, and counters kept as plain dicts.

Owns what is counted and under which name; a scrape turns it into Prometheus samples
(`k8sdns.web.metrics`). Refuses to know HTTP. Nothing here is global but the names: every server
in a process has a `Metrics` of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from k8sdns import logs

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

    def add(self, labels: Labels, counts: Iterable[int], total: float) -> None:
        """Take in observations counted elsewhere, one number a bucket, that sum up to `total`."""
        known = self.counts.get(labels)
        if known is None:
            known = self.counts[labels] = [0] * (len(self.bounds) + 1)
        for at, count in enumerate(counts):
            if count:
                known[at] += count
        self.sums[labels] = self.sums[labels] + total


TIME_BUCKETS = tuple(0.00025 * 2**k for k in range(16))
SLIM_TIME_BUCKETS = (0.00025, 0.0025, 0.025, 0.25, 2.5)
SIZE_BUCKETS = (
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3,
)  # fmt: skip

BUILD_INFO = Metric(
    "coredns_build_info",
    "gauge",
    "Always 1; what is running. `goversion` names the Python, for want of a Go.",
    ("version", "revision", "goversion"),
)
PLUGIN_ENABLED = Metric(
    "coredns_plugin_enabled",
    "gauge",
    "Always 1; which directives each server and zone has.",
    ("server", "zone", "view", "name"),
)
PANICS = Metric("coredns_panics_total", "counter", "Bugs met while answering a query.")

_SERVED_LABELS = ("server", "zone", "view")
DNS_REQUESTS = Metric(
    "coredns_dns_requests_total",
    "counter",
    "Queries by transport (udp, tcp), address family (1: IPv4, 2: IPv6) and type.",
    (*_SERVED_LABELS, "proto", "family", "type"),
)
DNS_REQUEST_DURATION = Metric(
    "coredns_dns_request_duration_seconds",
    "histogram",
    "Time that each query took to answer.",
    _SERVED_LABELS,
    TIME_BUCKETS,
)
DNS_REQUEST_SIZE = Metric(
    "coredns_dns_request_size_bytes",
    "histogram",
    "Octets of each query.",
    (*_SERVED_LABELS, "proto"),
    SIZE_BUCKETS,
)
DNS_RESPONSE_SIZE = Metric(
    "coredns_dns_response_size_bytes",
    "histogram",
    "Octets of each reply before compression and truncation, without OPT.",
    (*_SERVED_LABELS, "proto"),
    SIZE_BUCKETS,
)
DNS_DO_REQUESTS = Metric(
    "coredns_dns_do_requests_total", "counter", "Queries with the DO bit.", _SERVED_LABELS
)
DNS_RESPONSES = Metric(
    "coredns_dns_responses_total",
    "counter",
    "Replies by RCODE and by the directive that made them.",
    (*_SERVED_LABELS, "rcode", "plugin"),
)
AUTOPATH_SUCCESSES = Metric(
    "coredns_autopath_success_total",
    "counter",
    "Queries that were answered along a client's search list.",
    ("server",),
)
DNS64_TRANSLATED = Metric(
    "coredns_dns64_requests_translated_total",
    "counter",
    "Queries answered with addresses made from IPv4 ones.",
    ("server",),
)
HTTPS_RESPONSES = Metric(
    "coredns_dns_https_responses_total",
    "counter",
    "Responses of DNS over HTTPS by HTTP status.",
    ("server", "status"),
)
HEALTH_DURATION = Metric(
    "coredns_health_request_duration_seconds",
    "histogram",
    "Time that this server's own requests to its /health took.",
    (),
    SLIM_TIME_BUCKETS,
)
HEALTH_FAILURES = Metric(
    "coredns_health_request_failures_total",
    "counter",
    "Own requests to /health that were not answered.",
)
RELOAD_FAILED = Metric(
    "coredns_reload_failed_total", "counter", "Reloads that failed; the old configuration stayed."
)
RELOAD_VERSION = Metric(
    "coredns_reload_version_info",
    "gauge",
    "Hash of the configuration that the last reload was about.",
    ("hash", "value"),
)
LOG_DROPPED = Metric(
    "k8sdns_log_dropped_total", "counter", "Log lines dropped because nobody read them in time."
)
SOCKET_BUFFER = Metric(
    "k8sdns_udp_receive_buffer_bytes", "gauge", "Effective SO_RCVBUF of a UDP socket.", ("address",)
)
UDP_SOCKET_DROPS = Metric(
    "k8sdns_udp_socket_drops_total",
    "counter",
    "Datagrams that the kernel dropped because a socket's receive buffer was full.",
    ("address",),
)
SHED_QUERIES = Metric(
    "k8sdns_shed_queries_total",
    "counter",
    "Outside names answered SERVFAIL because too many of them waited for the process.",
    ("server",),
)
EVENT_LOOP_GAP = Metric(
    "k8sdns_event_loop_gap_seconds",
    "histogram",
    "Time by which the event loop came late to a timer: what a query may have had to wait.",
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
SATURATION = Metric(
    "k8sdns_saturation_ratio",
    "gauge",
    "Share of the last ten seconds that the event loop ran or waited for a CPU, 0 to 1; "
    "of several workers the busiest.",
)
QUERIES_WAITING = Metric(
    "k8sdns_queries_waiting", "gauge", "Queries whose answer is waited for (an upstream, mostly)."
)

KUBERNETES_PROGRAMMING = Metric(
    "coredns_kubernetes_dns_programming_duration_seconds",
    "histogram",
    "Time from the change of a Service or Pod until the answers show it.",
    ("service_kind",),
    tuple(0.001 * 2**k for k in range(20)),
)
_CLIENT_TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REST_REQUESTS = Metric(
    "coredns_kubernetes_rest_client_requests_total",
    "counter",
    "Requests to the API server by HTTP status; <error> where there was no answer.",
    ("code", "method", "host"),
)
REST_REQUEST_DURATION = Metric(
    "coredns_kubernetes_rest_client_request_duration_seconds",
    "histogram",
    "Time until the API server began to answer.",
    ("verb", "host"),
    _CLIENT_TIME_BUCKETS,
)
REST_LIMITER_DURATION = Metric(
    "coredns_kubernetes_rest_client_rate_limiter_duration_seconds",
    "histogram",
    "Time that requests to the API server waited for our own rate limit.",
    ("verb", "host"),
    _CLIENT_TIME_BUCKETS,
)
STORE_OBJECTS = Metric(
    "k8sdns_store_objects", "gauge", "Objects of the cluster that are known.", ("resource",)
)
STORE_LAG = Metric(
    "k8sdns_store_lag_seconds",
    "gauge",
    "Time since the API server last proved that nothing was missed; +Inf before the first sync.",
    ("resource",),
)
STORE_DRIFT = Metric(
    "k8sdns_store_drift_total",
    "counter",
    "Objects that an audit found different from the API server's, and healed.",
    ("resource",),
)
STORE_SNAPSHOT_AGE = Metric(
    "k8sdns_store_snapshot_age_seconds",
    "gauge",
    "Age of the copy that is served from; 0 while the API server's own objects are.",
)

WORKERS = Metric("k8sdns_workers", "gauge", "Worker processes that answer queries.")
WORKER_RESTARTS = Metric(
    "k8sdns_worker_restarts_total",
    "counter",
    "Processes of this server that were replaced, by their role and by what became of them.",
    ("role", "reason"),
)

FORWARD_HEALTHCHECK_BROKEN = Metric(
    "coredns_forward_healthcheck_broken_total",
    "counter",
    "Times that every upstream was down and one was asked all the same.",
)
FORWARD_REJECTS = Metric(
    "coredns_forward_max_concurrent_rejects_total",
    "counter",
    "Queries refused because max_concurrent was reached.",
)
PROXY_DURATION = Metric(
    "coredns_proxy_request_duration_seconds",
    "histogram",
    "Time that upstreams took to reply.",
    ("proxy_name", "to", "rcode"),
    TIME_BUCKETS,
)
PROXY_HEALTHCHECK_FAILURES = Metric(
    "coredns_proxy_healthcheck_failures_total",
    "counter",
    "Probes of upstreams that failed.",
    ("proxy_name", "to"),
)
PROXY_CONN_HITS = Metric(
    "coredns_proxy_conn_cache_hits_total",
    "counter",
    "Queries sent over a socket or connection that was open already.",
    ("proxy_name", "to", "proto"),
)
PROXY_CONN_MISSES = Metric(
    "coredns_proxy_conn_cache_misses_total",
    "counter",
    "Sockets and connections opened to upstreams.",
    ("proxy_name", "to", "proto"),
)
# The names of CoreDNS before 1.11: dashboards and alerts in the field still ask for them.
FORWARD_REQUESTS = Metric(
    "coredns_forward_requests_total", "counter", "Queries sent to upstreams.", ("to",)
)
FORWARD_RESPONSES = Metric(
    "coredns_forward_responses_total", "counter", "Replies of upstreams.", ("to", "rcode")
)
FORWARD_DURATION = Metric(
    "coredns_forward_request_duration_seconds",
    "histogram",
    "Time that upstreams took to reply.",
    ("to", "rcode"),
    TIME_BUCKETS,
)
FORWARD_HEALTHCHECK_FAILURES = Metric(
    "coredns_forward_healthcheck_failures_total",
    "counter",
    "Probes of upstreams that failed.",
    ("to",),
)
UPSTREAM_MISMATCHES = Metric(
    "k8sdns_upstream_mismatches_total",
    "counter",
    "Messages from upstreams, or somebody in their name, that answered nothing we asked.",
    ("to",),
)
UPSTREAM_TIMEOUTS = Metric(
    "k8sdns_upstream_timeouts_total", "counter", "Attempts that no upstream replied to.", ("to",)
)

_CACHE_LABELS = ("server", "zones", "view")
_CACHE_TYPE_LABELS = ("server", "type", "zones", "view")
CACHE_ENTRIES = Metric(
    "coredns_cache_entries", "gauge", "Answers in the cache.", _CACHE_TYPE_LABELS
)
CACHE_REQUESTS = Metric(
    "coredns_cache_requests_total", "counter", "Questions put to the cache.", _CACHE_LABELS
)
CACHE_HITS = Metric(
    "coredns_cache_hits_total", "counter", "Questions answered by the cache.", _CACHE_TYPE_LABELS
)
CACHE_MISSES = Metric(
    "coredns_cache_misses_total",
    "counter",
    "Questions that the cache had no answer to (deprecated: requests less hits).",
    _CACHE_LABELS,
)
CACHE_PREFETCHES = Metric(
    "coredns_cache_prefetch_total",
    "counter",
    "Answers asked for again before they expired.",
    _CACHE_LABELS,
)
CACHE_DROPS = Metric(
    "coredns_cache_drops_total",
    "counter",
    "Replies not kept because they do not answer the question.",
    _CACHE_LABELS,
)
CACHE_STALE = Metric(
    "coredns_cache_served_stale_total",
    "counter",
    "Questions answered with what had expired.",
    _CACHE_LABELS,
)
CACHE_EVICTIONS = Metric(
    "coredns_cache_evictions_total",
    "counter",
    "Answers that made room for others.",
    _CACHE_TYPE_LABELS,
)

HOSTS_ENTRIES = Metric(
    "coredns_hosts_entries", "gauge", "Names and addresses in hosts files.", ("hostsfile",)
)
HOSTS_RELOADED = Metric(
    "coredns_hosts_reload_timestamp_seconds", "gauge", "When the hosts file in use was changed."
)
_TEMPLATE_LABELS = ("server", "zone", "view", "class", "type")
TEMPLATE_MATCHES = Metric(
    "coredns_template_matches_total", "counter", "Queries that a template met.", _TEMPLATE_LABELS
)
TEMPLATE_FAILURES = Metric(
    "coredns_template_template_failures_total",
    "counter",
    "Templates that could not be executed.",
    (*_TEMPLATE_LABELS, "section", "template"),
)
TEMPLATE_RR_FAILURES = Metric(
    "coredns_template_rr_failures_total",
    "counter",
    "Templates whose text was no record.",
    (*_TEMPLATE_LABELS, "section", "template"),
)


def table() -> tuple[Metric, ...]:
    """Return every metric of k8sdns, in the order of this file."""
    return tuple(each for each in globals().values() if isinstance(each, Metric))


_BLOCK_LABELS = ("server", "zone", "view")
ACL_BLOCKED = Metric(
    "coredns_acl_blocked_requests_total", "counter", "Queries that acl refused.", _BLOCK_LABELS
)
ACL_FILTERED = Metric(
    "coredns_acl_filtered_requests_total",
    "counter",
    "Queries that acl answered without records.",
    _BLOCK_LABELS,
)
ACL_DROPPED = Metric(
    "coredns_acl_dropped_requests_total",
    "counter",
    "Queries that acl left unanswered.",
    _BLOCK_LABELS,
)
ACL_ALLOWED = Metric(
    "coredns_acl_allowed_requests_total",
    "counter",
    "Queries that acl let pass.",
    ("server", "view"),
)
LOCAL_LOCALHOST = Metric(
    "coredns_local_localhost_requests_total",
    "counter",
    "Queries for localhost below another name, as search paths make them.",
)


class Metrics:
    """The counters of one server, made on first use; a `Metric` names each."""

    def __init__(self) -> None:
        self.counts: dict[Metric, Counts] = {}
        self.histograms: dict[Metric, Histogram] = {}
        self._before_scrape: list[Callable[[], Iterator[None] | None]] = []

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
        """Return the observations of a histogram; one without labels begins at 0."""
        histogram = self.histograms.get(metric)
        if histogram is None:
            histogram = self.histograms[metric] = Histogram(metric.buckets)
            if not metric.labels:
                histogram.add((), (), 0)
        return histogram

    def begin(self) -> None:
        """Have everything of the table that has no labels begin at 0, used or not."""
        for metric in table():
            if metric.labels:
                continue
            if metric.kind == "histogram":
                self.histogram(metric)
            elif metric.kind == "counter":
                self.counter(metric)

    def before_scrape(self, call: Callable[[], Iterator[None] | None]) -> None:
        """Have `call` bring gauges up to date before each scrape.

        What takes long returns an iterator of its steps; queries are answered between them.
        """
        self._before_scrape.append(call)

    def not_before_scrape(self, call: Callable[[], Iterator[None] | None]) -> None:
        """Take back what `before_scrape` was told."""
        self._before_scrape.remove(call)

    def refresh(self) -> None:
        """Run what `before_scrape` registered."""
        for _ in self.refreshing():
            pass

    def refreshing(self) -> Iterator[None]:
        """Run what `before_scrape` registered, step by step."""
        for call in list(self._before_scrape):
            steps = call()
            if steps is not None:
                yield from steps
            yield

    def families(self) -> Iterable[Metric]:
        """Return every metric in use."""
        return [*self.counts, *self.histograms]


def count_dropped_lines(metrics: Metrics) -> None:
    """Have `metrics` count the log lines that this process drops; called once a process."""
    told = 0

    def count() -> None:
        nonlocal told
        dropped = logs.observer().lines.dropped
        metrics.counter(LOG_DROPPED).add(by=dropped - told)
        told = dropped

    metrics.before_scrape(count)
