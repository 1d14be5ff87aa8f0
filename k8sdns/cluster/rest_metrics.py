"""What is counted about requests to the API server, under client-go's names.

Owns: which labels a request is counted under. Refuses to know requests, and how numbers are shown.
"""

from __future__ import annotations

from k8sdns.metrics import (
    REST_LIMITER_DURATION,
    REST_REQUEST_DURATION,
    REST_REQUESTS,
    Metrics,
)

METHOD = "GET"
"""The method of every request, and its verb: client-go labels durations with the method too."""


class RestMetrics:
    """Counts the requests of one source into `metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(REST_REQUESTS)
        self._durations = metrics.histogram(REST_REQUEST_DURATION)
        self._waits = metrics.histogram(REST_LIMITER_DURATION)

    def answered(self, host: str, code: int | None, seconds: float) -> None:
        """Count a request that was answered with HTTP `code`, or (None) was not.

        `seconds` are those until the headers of the answer. client-go's code for no answer is
        ``<error>``.
        """
        self._requests.add(str(code) if code else "<error>", METHOD, host)
        self._durations.observe(seconds, METHOD, host)

    def waited(self, host: str, seconds: float) -> None:
        """Count how long a request waited for the rate limit."""
        self._waits.observe(seconds, METHOD, host)
