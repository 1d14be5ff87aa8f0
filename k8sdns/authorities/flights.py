"""What is in flight towards the upstreams of one `forward`, and what is counted of it.

Owns the bound on questions that wait, which of them share a flight, and whom a flight asks. Apart
from `Forward`, which is a Twisted resolver as well, so that it can be compiled.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.flight import Flight
from k8sdns.authorities.upstream.query import PASSED_ON, our_opt
from k8sdns.errors import Refused, ServerFailure
from k8sdns.metrics import (
    FORWARD_HEALTHCHECK_BROKEN,
    FORWARD_REJECTS,
    PROXY_DURATION,
    TIME_BUCKETS,
    Metrics,
)
from k8sdns.waiting import Pending

if TYPE_CHECKING:
    from k8sdns.authorities.forward import ForwardSettings, Member

Key: TypeAlias = tuple[bytes, int, int, int, bool, bool, tuple[tuple[int, bytes], ...]]
"""Name, type, class, flags, whether over a stream, DO, and the EDNS options for upstreams."""

_FIRST: Final = TIME_BUCKETS[0]


class Flights:
    """Takes questions to upstreams; identical ones that come meanwhile share the reply.

    `members` are the upstreams. `policy` puts them in the order in which to ask them, `chosen`
    takes one of them; no more than `bound` questions wait. `later` calls in the next turn of the
    reactor.
    """

    def __init__(
        self,
        settings: ForwardSettings,
        metrics: Metrics,
        now: Callable[[], float],
        policy: Callable[[Sequence[Member]], Sequence[Member]],
        chosen: Callable[[Sequence[Member]], Member],
        word: str,
        bound: int,
        later: Callable[..., None],
    ) -> None:
        self.settings = settings
        self.now = now
        self.members: Sequence[Member] = ()
        self.word = word
        self.in_flight = 0  # questions that wait
        self._policy = policy
        self._chosen = chosen
        self._bound = bound
        self.later = later
        self._forces_stream = settings.force_tcp
        self._prefers_datagrams = settings.prefer_udp
        self._zone = settings.zone
        self._excepted = names.ZoneMap((zone, True) for zone in settings.excepted)
        self._has_all = settings.zone == names.ROOT and not settings.excepted
        self._flights: dict[Key, Flight] = {}
        self._rows: dict[tuple[str, int], list[float]] = {}
        self._durations = metrics.histogram(PROXY_DURATION)
        self._rejects = metrics.counter(FORWARD_REJECTS)
        self._broken = metrics.counter(FORWARD_HEALTHCHECK_BROKEN)

    def begin(self, question: Question) -> Pending | None:
        """Forward a question; None for a name that is not under our zone. Raises Refused."""
        return self.begin_with(question, question.flags & PASSED_ON)

    def begin_with(self, question: Question, flags: int) -> Pending | None:
        """Do the same with header flags other than the client's."""
        qname = question.qname
        if not (self._has_all or self._has(qname)):
            return None
        edns = question.edns
        do = edns is not None and edns.do
        over_stream = self._forces_stream or (question.is_stream and not self._prefers_datagrams)
        options = question.upstream_options
        key = (qname, question.qtype, question.qclass, flags, over_stream, do, options)
        if self.in_flight >= self._bound:
            self._reject()
        pending = Pending(question)
        self.in_flight += 1
        flights = self._flights
        flight = flights.get(key)
        if flight is not None:
            flight.follow(pending)
            return pending
        opt = our_opt(do, options)
        flight = Flight(self, key, question.wire, flags, opt, pending, over_stream)
        flights[key] = flight
        flight.depart()
        return pending

    def _has(self, qname: bytes) -> bool:
        zone = self._zone
        if not names.is_subdomain(qname, zone):
            return False
        return qname == zone or self._excepted.find(qname) is None

    def _reject(self) -> None:
        self._rejects.add()
        raise Refused(f"concurrent queries exceeded maximum {self._bound}")

    def ordered(self) -> Sequence[Member]:
        """Return the upstreams in the order in which to ask them."""
        members = self.members
        return members if len(members) < 2 else self._policy(members)

    def instead_of_all_down(self, members: Sequence[Member]) -> Member | None:
        """Return whom to ask although everybody is down, or None to fail at once."""
        self._broken.add()
        return None if self.settings.fails_fast else self._chosen(members)

    def saw_reply(self, upstream: str, rcode: int, elapsed: float) -> None:
        """Count a reply."""
        row = self._rows.get((upstream, rcode))
        if row is None:
            row = self._rows[upstream, rcode] = [0.0] * (len(TIME_BUCKETS) + 2)
        row[0 if elapsed <= _FIRST else bisect_left(TIME_BUCKETS, elapsed)] += 1
        row[-1] += elapsed

    def fold(self) -> None:
        """Bring the metrics up to date."""
        for (upstream, rcode), row in self._rows.items():
            word = records.RCODE_NAMES.get(rcode) or str(rcode)
            counts = [int(count) for count in row[:-1]]
            self._durations.add((self.word, upstream, word), counts, row[-1])
        self._rows.clear()

    def saw_failure(self, member: Member) -> None:
        """Count an attempt without a reply, and look after its upstream."""
        member.upstream.failures += 1
        member.health.failed()

    def landed(self, flight: Flight) -> None:
        """A flight is over."""
        self._flights.pop(flight.key, None)
        self.in_flight -= flight.waiters

    def end_all(self) -> None:
        """End what is in flight without answers."""
        for flight in list(self._flights.values()):
            flight.fail(ServerFailure("the server is going away"))
