"""What is counted about requests to the API server, as plain dicts for the metrics to read.

Owns: the numbers behind coredns_kubernetes_rest_client_requests_total{code,method,host},
..._request_duration_seconds{verb,host} and ..._rate_limiter_duration_seconds{verb,host}.
Refuses to know names of metrics, and Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds, those of the Prometheus client library."""


@dataclass
class Histogram:
    """`counts` has one entry a bucket and one for what is above; `total` is the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class RestMetrics:
    """All of it for one source; `method` and `verb` are always GET, as client-go says them."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """(code, method, host) to count; the code of a request without an answer is <error>."""
        self.durations: dict[tuple[str, str], Histogram] = {}
        """(verb, host) to seconds until the answer's headers."""
        self.limiter_durations: dict[tuple[str, str], Histogram] = {}
        """(verb, host) to seconds spent waiting for the rate limit."""

    def answered(self, host: str, code: int | None, seconds: float) -> None:
        """Count a request that was answered with HTTP `code`, or (None) was not."""
        self.requests[str(code) if code else "<error>", "GET", host] += 1
        self.durations.setdefault(("GET", host), Histogram()).observe(seconds)

    def waited(self, host: str, seconds: float) -> None:
        """Count how long a request waited for the rate limit."""
        self.limiter_durations.setdefault(("GET", host), Histogram()).observe(seconds)
