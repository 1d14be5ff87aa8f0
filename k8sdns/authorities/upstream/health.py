"""Whether an upstream is worth asking: failures counted, and probes once there were any.

Owns CoreDNS's rule (plugin/pkg/up, plugin/pkg/proxy): nothing is probed while all goes well; the
first failure starts a loop of probes, any reply ends it, and an upstream with more than
`max_fails` failures in a row is down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from k8sdns import names, records
from k8sdns.answers import RD
from k8sdns.authorities.upstream.attempt import Attempt, Outcome
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.query import Query, our_opt
from k8sdns.authorities.upstream.upstream import Upstream


class Probe(NamedTuple):
    """What is asked to see whether a server lives: the NS records of `domain`."""

    period: float = 0.5  # seconds between the end of one probe and the next; 0: never probe
    domain: bytes = names.ROOT
    is_recursive: bool = True

    @property
    def query(self) -> Query:
        """The probe as a query."""
        wire = self.domain + records.NS.to_bytes(2, "big") + records.IN.to_bytes(2, "big")
        return Query(wire, RD if self.is_recursive else 0, our_opt())


class Health:
    """The health of one upstream; `max_fails` 0 means that it is never down and never probed."""

    def __init__(
        self,
        upstream: Upstream,
        clock: IReactorTime,
        *,
        max_fails: int = 2,
        probe: Probe = Probe(),  # noqa: B008 - a constant
        over_stream: bool = False,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self.fails = 0
        self._upstream = upstream
        self._clock = clock
        self._max_fails = max_fails
        self._period = probe.period
        self._query = probe.query
        self._over_stream = over_stream
        self._on_failure = on_failure
        self._is_probing = False
        self._is_stopped = False
        self._call: IDelayedCall | None = None

    @property
    def is_down(self) -> bool:
        """Tell whether the upstream should be passed over."""
        return 0 < self._max_fails < self.fails

    def failed(self) -> None:
        """An exchange failed: find out whether the server lives."""
        if self._max_fails and self._period and not self._is_probing and not self._is_stopped:
            self._is_probing = True
            self._probe()

    def _probe(self) -> None:
        self._call = None
        self._upstream.ask(self._query, self, over_stream=self._over_stream)

    def ended(self, _attempt: Attempt, outcome: Outcome) -> None:
        """A probe is over; any reply is a sign of life."""
        if self._is_stopped:
            return
        if not isinstance(outcome, UpstreamFailure):
            self.fails = 0
            self._is_probing = False
            return
        self.fails += 1
        if self._on_failure is not None:
            self._on_failure()
        self._call = self._clock.callLater(self._period, self._probe)

    def stop(self) -> None:
        """Probe no more."""
        self._is_stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None


class FailTimes:
    """The health of one upstream by its latest failures alone (v1.2.5 plugin/proxy).

    It is down while `max_fails` failures count: those younger than `seconds`, and those of its page
    over HTTP, if that is asked for, since it was last well. 0: never down.
    """

    def __init__(self, now: Callable[[], float], max_fails: int, seconds: float) -> None:
        self.page_failures = 0  # in a row
        self._now = now
        self._max_fails = max_fails
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=max_fails)

    @property
    def is_down(self) -> bool:
        """Tell whether the upstream should be passed over."""
        times = self._times
        if times:
            oldest = self._now() - self._seconds
            while times and times[0] <= oldest:
                times.popleft()
        return 0 < self._max_fails <= len(times) + self.page_failures

    def failed(self) -> None:
        """An exchange failed."""
        self._times.append(self._now())

    def page_is_well(self) -> None:
        """The page over HTTP was shown: nothing that failed before counts."""
        self.page_failures = 0
        self._times.clear()

    def page_failed(self) -> None:
        """The page over HTTP was not shown."""
        self.page_failures += 1

    def stop(self) -> None:
        """Nothing runs here that could be stopped."""
