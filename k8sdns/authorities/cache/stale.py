"""Asking before a stale answer is given, for a bounded time (``serve_stale … verify``)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from k8sdns.answers import Answer
from k8sdns.authorities.upstream.waitlist import Waitlist


class Verification:
    """One client that waits for news; `stale` makes the answer if there are none.

    `news` fires with None where there is nothing better than what expired.
    """

    def __init__(self, news: Deferred[Answer | None], stale: Callable[[], Answer]) -> None:
        self.result: Deferred[Answer | None] = Deferred()
        self.is_over = False
        self._stale = stale
        self._news = news

    def start(self) -> None:
        """Wait."""
        self._news.addCallback(self._came)

    def _came(self, answer: Answer | None) -> None:
        if not self.is_over:
            self.is_over = True
            self.result.callback(self._stale() if answer is None else answer)

    def timed_out(self) -> None:
        """No news in time; what comes later is for the next client."""
        self._came(None)


class Verifications:
    """The time limit of all verifications of one cache, in seconds; 0: none."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._waitlist = Waitlist(clock, seconds)

    def watch(self, verification: Verification) -> Deferred[Answer | None]:
        """Let the verification wait; returns its result."""
        verification.start()
        if self._waitlist.seconds and not verification.is_over:
            self._waitlist.add(verification)
            verification.result.addBoth(self._over, verification)
        return verification.result

    def _over(self, result: Answer | None, verification: Verification) -> Answer | None:
        self._waitlist.remove(verification)
        return result
