"""Whether upstreams live, by a page that their hosts show over HTTP: ``proxy``'s `health_check`.

Owns the rounds of requests and what a status means (v1.2.5 plugin/pkg/healthcheck). Refuses to
know how an upstream is passed over: that is `FailTimes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.failure import reason_of
from k8sdns.authorities.upstream.health import FailTimes

log = Logger(namespace="k8sdns.authorities.proxy")

GIVE_UP_AFTER = 5.0  # seconds, as CoreDNS's client
_WELL = range(200, 400)

# Asks the host of a destination on a port for a path; fires with the status.
StatusOf = Callable[[Destination, int, str], "Deferred[int]"]


class PageCheck(NamedTuple):
    """Which page is asked for: `port` 0 is the upstream's own; `period` in seconds."""

    path: str
    port: int = 0
    period: float = 4.0


class Subject(NamedTuple):
    """One upstream under watch; `failed` is called for each page that was not well."""

    destination: Destination
    health: FailTimes
    failed: Callable[[], None]


class PageChecks:
    """Asks every upstream at the start and every period, each once at a time."""

    def __init__(
        self,
        check: PageCheck,
        clock: IReactorTime,
        status_of: StatusOf,
        subjects: Callable[[], Iterable[Subject]],
    ) -> None:
        self._check = check
        self._clock = clock
        self._status_of = status_of
        self._subjects = subjects
        self._asked: dict[Destination, Deferred[Any]] = {}
        self._loop = LoopingCall(self._round)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to ask."""
        self._loop.start(self._check.period)

    def stop(self) -> None:
        """Ask no more; what is under way is given up."""
        if self._loop.running:
            self._loop.stop()
        for asked in list(self._asked.values()):
            asked.cancel()

    def _round(self) -> None:
        for subject in self._subjects():
            if subject.destination not in self._asked:
                self._ask(subject)

    def _ask(self, subject: Subject) -> None:
        destination = subject.destination
        asked = self._status_of(destination, self._check.port or destination.port, self._check.path)
        self._asked[destination] = asked
        asked.addTimeout(GIVE_UP_AFTER, self._clock)
        asked.addCallbacks(self._came, self._failed, (subject,), errbackArgs=(subject,))
        asked.addBoth(self._ended, destination)

    def _ended(self, _result: Any, destination: Destination) -> None:
        self._asked.pop(destination, None)

    def _came(self, status: int, subject: Subject) -> None:
        if status in _WELL:
            if subject.health.page_failures:
                log.info("Host {host} is well again", host=subject.destination)
            subject.health.page_is_well()
        else:
            self._is_unwell(subject, f"returned HTTP code {status}")

    def _failed(self, failure: Any, subject: Subject) -> None:
        if failure.check(CancelledError) is None:
            self._is_unwell(subject, f"probe failed: {_reason(failure.value)}")

    def _is_unwell(self, subject: Subject, what: str) -> None:
        if not subject.health.page_failures:  # said once, not at every round
            log.warn("Host {host} health check {what}", host=subject.destination, what=what)
        subject.health.page_failed()
        subject.failed()


def _reason(error: BaseException) -> str:
    if isinstance(error, TookTooLong):
        return f"no status after {GIVE_UP_AFTER:g}s"
    # What ended an exchange is in a list of failures (twisted.web.client.ResponseNeverReceived).
    for failure in getattr(error, "reasons", ()):
        return reason_of(failure.value)
    return reason_of(getattr(error, "osError", None) or error)
