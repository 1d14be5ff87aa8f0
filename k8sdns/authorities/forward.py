"""Forwarding: questions under a zone go to other name servers.

Owns the upstreams of one `forward` (or `proxy`), their order and health, and the two faces that
others know it by. What is in flight is `flights`' and transports are `upstream`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random, SystemRandom
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.flight import MAX_ATTEMPTS
from k8sdns.authorities.flights import Flights
from k8sdns.authorities.upstream.attempt import Attempt, Outcome
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.health import FailTimes, Health, Probe
from k8sdns.authorities.upstream.pages import PageCheck, Subject
from k8sdns.authorities.upstream.policies import policy_named
from k8sdns.authorities.upstream.query import Query, query_of
from k8sdns.authorities.upstream.upstream import Surroundings, TransportSettings, Upstream
from k8sdns.interfaces import IPendingAuthority, IRemoteAuthority, IUpstreams
from k8sdns.metrics import (
    PROXY_HEALTHCHECK_FAILURES,
    Metrics,
)

MAX_IN_FLIGHT = 20_000  # questions that wait, where the Corefile sets no bound


@dataclass(frozen=True)
class ForwardSettings:
    """What a Corefile says about one way out; times in seconds, names as wire bytes."""

    zone: bytes = names.ROOT
    excepted: tuple[bytes, ...] = ()
    policy: str = "random"
    force_tcp: bool = False
    prefer_udp: bool = False
    max_fails: int = 2
    max_connect_attempts: int | None = None  # None: twice the number of upstreams; 0: no bound
    max_concurrent: int = 0  # 0: `MAX_IN_FLIGHT`
    failover: frozenset[int] = frozenset()
    next_rcodes: frozenset[int] = frozenset()
    next_on_nodata: bool = False
    fails_fast: bool = False
    fail_timeout: float | None = None  # how long one failure counts, where no query probes
    page_check: PageCheck | None = None  # of a page over HTTP, where `fail_timeout` is set
    nobody: str = "no healthy proxies"  # the error where there is nobody to ask
    give_up_after: float = 5.0
    transport: TransportSettings = field(default_factory=TransportSettings)
    probe: Probe = field(default_factory=Probe)

    def max_attempts_for(self, upstreams: int) -> int:
        """Return how many attempts a query may cost."""
        if self.max_connect_attempts is None:
            return 2 * upstreams
        return self.max_connect_attempts or MAX_ATTEMPTS


class Member:
    """One upstream of a forward, with its health."""

    __slots__ = ("health", "upstream")

    def __init__(self, upstream: Upstream, health: Health | FailTimes) -> None:
        self.upstream = upstream
        self.health = health

    @property
    def in_flight(self) -> int:
        """How many attempts wait for it."""
        return self.upstream.in_flight

    def close(self) -> None:
        """Stop asking and probing."""
        self.health.stop()
        self.upstream.close()


class _Reached:
    """Who asks one upstream only to see whether it replies."""

    def __init__(self) -> None:
        self.done: Deferred[bool] = Deferred()

    def ended(self, _attempt: Attempt, outcome: Outcome) -> None:
        self.done.callback(not isinstance(outcome, UpstreamFailure))


@implementer(IRemoteAuthority, IPendingAuthority, IUpstreams)
class Forward(Authority):
    """Answers with what one of its upstreams says.

    Identical questions that come while one is in flight share its reply.
    """

    word = "forward"

    def __init__(
        self,
        settings: ForwardSettings,
        destinations: Sequence[Destination],
        around: Surroundings,
        metrics: Metrics,
        *,
        word: str = "forward",
        random: Random | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.word = word
        self.settings = settings
        self.now: Callable[[], float] = around.clock.seconds
        self._around = around
        self._random = random or SystemRandom()
        self._probe_failures = metrics.counter(PROXY_HEALTHCHECK_FAILURES)
        self._destinations = tuple(destinations)
        self._left_out: set[str] = set()
        self._reaching: set[Upstream] = set()  # those left out that are asked all the same
        self._watchers: list[Callable[[], None]] = []
        policy: Any = policy_named(settings.policy, self._random)
        self.flights = Flights(
            settings,
            metrics,
            self.now,
            policy,
            self._random.choice,
            self.word,
            settings.max_concurrent or MAX_IN_FLIGHT,
            self._later,
        )
        self.flights.members = [self._member(destination) for destination in destinations]
        # What `answer` does, without a Deferred: for those on the way of a query.
        self.begin = self.flights.begin
        self.begin_with = self.flights.begin_with

    def _member(self, destination: Destination) -> Member:
        settings = self.settings
        upstream = Upstream(destination, self._around, settings.transport)
        if settings.fail_timeout is not None:
            forgetful = FailTimes(self.now, settings.max_fails, settings.fail_timeout)
            return Member(upstream, forgetful)
        health = Health(
            upstream,
            self._around.clock,
            max_fails=settings.max_fails,
            probe=settings.probe,
            over_stream=settings.force_tcp,
            on_failure=lambda: self._probe_failed(upstream),
        )
        return Member(upstream, health)

    def _probe_failed(self, upstream: Upstream) -> None:
        self._probe_failures.add(self.word, upstream.name)

    def page_subjects(self) -> list[Subject]:
        """Return the upstreams whose health knows of pages over HTTP."""
        return [
            Subject(upstream.destination, health, partial(self._probe_failed, upstream))
            for upstream, health in ((each.upstream, each.health) for each in self.members)
            if isinstance(health, FailTimes)
        ]

    def answer(self, question: Question) -> Answer | Deferred[Answer | None] | None:
        """Forward `question`; None for a name that is not under our zone."""
        pending = self.begin(question)
        return None if pending is None else pending.deferred()

    @property
    def members(self) -> Sequence[Member]:
        """The upstreams."""
        return self.flights.members

    @property
    def in_flight(self) -> int:
        """How many questions wait."""
        return self.flights.in_flight

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call in the next turn of the reactor."""
        self._around.clock.callLater(0, call, *arguments)

    def use(self, destinations: Sequence[Destination]) -> None:
        """Ask these from now on; upstreams that stay keep their connections and health.

        One that was left out and is among them stays left out: that it was named again does not
        say that it changed. Whoever watches may find out.
        """
        self._destinations = tuple(destinations)
        self._left_out &= {str(each) for each in destinations}
        self._choose_members()
        for changed in tuple(self._watchers):
            changed()

    def _choose_members(self) -> None:
        known = {member.upstream.destination: member for member in self.members}
        self.flights.members = [
            known.pop(each) if each in known else self._member(each)
            for each in self._destinations
            if str(each) not in self._left_out
        ]
        for member in known.values():
            member.health.stop()
            # What is in flight may end first.
            self._around.clock.callLater(self.settings.give_up_after, member.close)

    @property
    def zone(self) -> bytes:
        """The zone whose names are forwarded."""
        return self.settings.zone

    def upstreams(self) -> tuple[str, ...]:
        """Return the addresses of the upstreams; those left out are among them."""
        return tuple(map(str, self._destinations))

    def reach(self, upstream: str, qname: bytes, qtype: int) -> Deferred[bool]:
        """Ask one upstream past policy and health; fires whether a reply came."""
        for destination in self._destinations:
            if str(destination) == upstream:
                return self._reach(destination, query_of(Question(qname, qtype)))
        return succeed(False)

    def _reach(self, destination: Destination, query: Query) -> Deferred[bool]:
        asked = _Reached()
        for member in self.members:
            if member.upstream.destination == destination:
                member.upstream.ask(query, asked, over_stream=self.settings.force_tcp)
                return asked.done
        apart = Upstream(destination, self._around, self.settings.transport)
        self._reaching.add(apart)
        apart.ask(query, asked, over_stream=self.settings.force_tcp)
        return asked.done.addCallback(self._reached, apart)

    def _reached(self, is_reached: bool, apart: Upstream) -> bool:
        # Not now: its attempt is just ending.
        self._around.clock.callLater(0, self._close_apart, apart)
        return is_reached

    def _close_apart(self, apart: Upstream) -> None:
        self._reaching.discard(apart)
        apart.close()

    def leave_out(self, upstream: str) -> None:
        """Ask `upstream` no more, until it is taken back or no longer among them."""
        self._left_out.add(upstream)
        self._choose_members()

    def take_back(self, upstream: str) -> None:
        """Ask `upstream` again."""
        if upstream in self._left_out:
            self._left_out.remove(upstream)
            self._choose_members()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have `changed` called after each `use`; return what ends that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def close(self) -> None:
        """End what is in flight, close every socket and connection."""
        self.flights.end_all()
        for member in self.members:
            member.close()
        for apart in tuple(self._reaching):
            self._close_apart(apart)
