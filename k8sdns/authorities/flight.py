"""One query of ours through all its attempts, for everybody who asked the same meanwhile.

Owns CoreDNS's loop over upstreams (plugin/forward): order by policy, those that are down passed
over, a bound on attempts and on time, `failover` RCODEs. Refuses to know sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from k8sdns.answers import Answer, Question
from k8sdns.authorities.upstream.attempt import Attempt, Outcome
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.query import Query
from k8sdns.errors import ServerFailure

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from k8sdns.authorities.forward import Forward, Member

MAX_ATTEMPTS = 100  # where the Corefile sets no bound
TOGETHER = 32  # of those who asked the same that are told in one turn of the reactor

Came: TypeAlias = Callable[[Answer, Question, Any], Answer]


class Waiter(NamedTuple):
    """One question that waits for a flight to land.

    What `came` makes of the answer, given `question` and `key`, is what `told` fires with; that is
    a callback which costs a call.
    """

    told: Deferred[Answer | None]
    question: Question
    came: Came | None
    key: Any

    def land(self, answer: Answer) -> None:
        """Tell the answer."""
        if self.came is not None:
            try:
                answer = self.came(answer, self.question, self.key)
            except Exception:  # noqa: BLE001 - handed on as the Deferred's failure
                self.told.errback(Failure())
                return
        self.told.callback(answer)


class Flight:
    """Asks one upstream after another; `waiters` are told the end."""

    __slots__ = (
        "_at", "_down", "_failure", "_forward", "_is_over", "_kept", "_key", "_member", "_members",
        "_over_stream", "_query", "_started", "_tried", "waiters",
    )  # fmt: skip

    def __init__(self, forward: Forward, key: Hashable, query: Query, over_stream: bool) -> None:
        self.waiters: list[Waiter] = []
        self._forward = forward
        self._key = key
        self._query = query
        self._over_stream = over_stream
        self._members: Sequence[Member] = forward.ordered()
        self._member: Member | None = None
        self._at = 0
        self._tried = 0
        self._down = 0
        self._started = forward.now()
        self._failure: UpstreamFailure | None = None
        self._kept: tuple[Answer, str] | None = None
        self._is_over = False

    def go_on(self) -> None:
        """Ask the next upstream, or give up."""
        members = self._members
        while self._may_try():
            member: Member | None = members[self._at % len(members)]
            self._at += 1
            if member is not None and member.health.is_down:
                self._down += 1
                if self._down < len(members):
                    continue
                member = self._forward.instead_of_all_down(members)
            if member is None:
                break
            self._tried += 1
            self._member = member
            member.upstream.ask(self._query, self, over_stream=self._over_stream)
            return
        self._give_up()

    def _may_try(self) -> bool:
        """Tell whether number and time of attempts are within their bounds; the first one's are."""
        if not self._tried:
            return bool(self._members)
        settings = self._forward.settings
        is_in_time = self._forward.now() - self._started < settings.give_up_after
        return is_in_time and self._tried < settings.max_attempts_for(len(self._members))

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """One attempt is over."""
        if self._is_over:
            return
        member = self._member
        if isinstance(outcome, UpstreamFailure):
            self._failure = outcome
            if member is not None:
                self._forward.saw_failure(member)
            self.go_on()
            return
        outcome.source = self._forward.word
        self._forward.saw_reply(attempt, outcome)
        if outcome.rcode in self._forward.settings.failover and self._at < len(self._members):
            self._kept = (outcome, attempt.upstream.name)
            self.go_on()
            return
        self._end(outcome, attempt.upstream.name)

    def _give_up(self) -> None:
        if self._kept is not None:
            self._end(*self._kept)
        else:
            self.fail(self._failure or ServerFailure(self._forward.settings.nobody))

    def _end(self, answer: Answer, upstream: str) -> None:
        self._is_over = True
        self._forward.landed(self._key, len(self.waiters))
        self._tell(answer, upstream)

    def _tell(self, answer: Answer, upstream: str) -> None:
        for waiter in self._next_waiters(self._tell, answer, upstream):
            metadata = waiter.question.metadata
            if metadata is not None:
                metadata["forward/upstream"] = upstream
            waiter.land(answer)

    def _next_waiters(self, again: Callable[..., None], *arguments: Any) -> list[Waiter]:
        """Return who is told in this turn of the reactor; of many, the others are told later."""
        waiters = self.waiters
        if len(waiters) <= TOGETHER:
            return waiters
        self.waiters = waiters[TOGETHER:]
        self._forward.later(again, *arguments)
        return waiters[:TOGETHER]

    def fail(self, error: ServerFailure) -> None:
        """Tell everybody who waits that there will be no answer."""
        self._is_over = True
        self._forward.landed(self._key, len(self.waiters))
        self._tell_failure(error)

    def _tell_failure(self, error: ServerFailure) -> None:
        for waiter in self._next_waiters(self._tell_failure, error):
            waiter.told.errback(Failure(error))
