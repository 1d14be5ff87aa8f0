"""One query of ours through all its attempts, for everybody who asked the same meanwhile.

Owns CoreDNS's loop over upstreams (plugin/forward): order by policy, those that are down passed
over, a bound on attempts and on time, `failover` RCODEs. Nearly every query is over with its first
datagram, sent to an upstream that lives and answered as usual. That much a flight does itself; at
anything else it makes an `Attempt` of itself, which knows what there is to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.python.failure import Failure

from k8sdns import records
from k8sdns.answers import Answer
from k8sdns.authorities.upstream.attempt import Attempt, Outcome, resumed
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.query import Query, octets_behind_id
from k8sdns.authorities.upstream.reply import usual_answer
from k8sdns.authorities.upstream.usual import HEADS, Shape, usual_shape
from k8sdns.errors import ServerFailure
from k8sdns.wire.reader import HEADER_OCTETS, OPCODE_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdns.authorities.flights import Flights, Key
    from k8sdns.authorities.forward import Member
    from k8sdns.authorities.upstream.udp import DatagramSocket
    from k8sdns.authorities.upstream.upstream import Upstream
    from k8sdns.waiting import Pending

MAX_ATTEMPTS: Final = 100  # where the Corefile sets no bound
TOGETHER: Final = 32  # of those who asked the same that are told in one turn of the reactor


class Flight:
    """Asks one upstream after another; those who wait are told the end.

    `key` is what it is known by while it lasts.
    """

    datagram_socket: DatagramSocket | None = None
    datagram_id: int = 0
    waiters: int = 1
    _upstream: Upstream | None = None
    _member: Member | None = None
    _members: Sequence[Member] = ()
    _at: int = 0
    _tried: int = 0
    _down: int = 0
    _failure: UpstreamFailure | None = None
    _kept: tuple[Answer, str] | None = None
    _is_over: bool = False
    _followers: list[Pending] | None = None

    def __init__(
        self,
        flights: Flights,
        key: Key,
        wire: bytes,
        flags: int,
        opt: bytes,
        first: Pending,
        over_stream: bool,
    ) -> None:
        self.key = key
        self._flights = flights
        self._wire = wire
        self._flags = flags
        self._opt = opt
        self._first = first
        self._over_stream = over_stream
        self._started = flights.now()

    @property
    def query(self) -> Query:
        """What upstreams are asked."""
        return Query(self._wire, self._flags, self._opt)

    def follow(self, pending: Pending) -> None:
        """Tell `pending`, too."""
        if self._followers is None:
            self._followers = []
        self._followers.append(pending)
        self.waiters += 1

    def depart(self) -> None:
        """Ask the first upstream."""
        members = self._members = self._flights.ordered()
        if self._over_stream or not members:
            self.go_on()
            return
        member = members[0]
        upstream: Upstream = member.upstream
        if upstream.destination.is_tls or member.health.is_down:
            self.go_on()
            return
        self._at = self._tried = 1
        self._member = member
        self._upstream = upstream
        upstream.in_flight += 1
        started = self._started
        upstream.waitlist.add_at(self, started)
        try:
            rest = octets_behind_id(self._wire, self._flags, self._opt)
            upstream.datagrams.ask(self, rest, started)
        except OSError as error:
            self._resumed().not_sent(error)

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
                member = self._flights.instead_of_all_down(members)
            if member is None:
                break
            self._tried += 1
            self._member = member
            member.upstream.ask(self.query, self, over_stream=self._over_stream)
            return
        self._give_up()

    def _may_try(self) -> bool:
        """Tell whether number and time of attempts are within their bounds; the first one's are."""
        if not self._tried:
            return bool(self._members)
        settings = self._flights.settings
        is_in_time = self._flights.now() - self._started < settings.give_up_after
        return is_in_time and self._tried < settings.max_attempts_for(len(self._members))

    # -- as the attempt that its first datagram is -----------------------------------------------

    def datagram_came(self, message: bytes) -> None:
        """A datagram with our id came from the upstream's address."""
        wire = self._wire
        head = HEADS.get(message[2:HEADER_OCTETS])
        shape = None if head is None else usual_shape(message, head, wire)
        if head is None or shape is None or self._flags & OPCODE_BITS:
            self._resumed().datagram_came(message)
            return
        upstream, socket = self._upstream, self.datagram_socket
        if upstream is None or socket is None:
            return
        upstream.waitlist.remove(self)
        upstream.in_flight -= 1
        socket.forget(self)
        self._is_over = True
        flights = self._flights
        flights.saw_reply(upstream.name, records.NOERROR, flights.now() - self._started)
        flights.landed(self)
        start = HEADER_OCTETS + len(wire)
        body = message[start : start + shape.size]
        self._tell_usual(self._first, upstream.name, head.flags, shape, body)
        if self._followers is not None:
            self._tell_usual_to(self._followers, upstream.name, head.flags, shape, body)

    def _tell_usual_to(
        self, waiting: list[Pending], upstream: str, flags: int, shape: Shape, body: bytes
    ) -> None:
        """Tell some in this turn of the reactor; of many, the others are told later."""
        if len(waiting) > TOGETHER:
            rest = waiting[TOGETHER:]
            self._flights.later(self._tell_usual_to, rest, upstream, flags, shape, body)
        for pending in waiting[:TOGETHER]:
            self._tell_usual(pending, upstream, flags, shape, body)

    def _tell_usual(
        self, pending: Pending, upstream: str, flags: int, shape: Shape, body: bytes
    ) -> None:
        question = pending.question
        if question.metadata is not None:
            question.metadata["forward/upstream"] = upstream
        keeper = pending.keeper
        if keeper is None:
            answer = usual_answer(flags, shape, body, question.qname)
            answer.source = self._flights.word
            pending.tell(answer)
            return
        try:
            kept: Answer = keeper.came_usual(flags, shape, body, question, pending.key)
        except Exception:  # noqa: BLE001 - told as any other end
            pending.tell(Failure())
            return
        pending.tell(kept)

    def doubt(self) -> None:
        """Somebody may be forging."""
        self._resumed().doubt()

    def datagram_lost(self, phase: str, reason: str) -> None:
        """UDP will bring nothing any more."""
        self._resumed().datagram_lost(phase, reason)

    def timed_out(self) -> None:
        """Called by the waitlist."""
        self._resumed().timed_out()

    def closed(self) -> None:
        """The upstream was closed under us."""
        self._resumed().closed()

    def _resumed(self) -> Attempt:
        """Go on as an attempt like any other; whatever happens to it, it waits anew or ends."""
        upstream = self._upstream
        if upstream is None:
            raise RuntimeError("a flight that did not depart has no attempt")
        upstream.waitlist.remove(self)
        attempt = resumed(upstream, self.query, self, self._started)
        socket, self.datagram_socket = self.datagram_socket, None
        if socket is not None:
            attempt.datagram_id = self.datagram_id
            attempt.datagram_socket = socket
            socket.exchange(self, attempt)
        return attempt

    # -- the end of attempts -----------------------------------------------------------------------

    def ended(self, attempt: Attempt, outcome: Outcome) -> None:
        """One attempt is over."""
        if self._is_over:
            return
        member = self._member
        if isinstance(outcome, UpstreamFailure):
            self._failure = outcome
            if member is not None:
                self._flights.saw_failure(member)
            self.go_on()
            return
        outcome.source = self._flights.word
        upstream = attempt.upstream
        self._flights.saw_reply(upstream.name, outcome.rcode, upstream.now() - attempt.started)
        if outcome.rcode in self._flights.settings.failover and self._at < len(self._members):
            self._kept = (outcome, upstream.name)
            self.go_on()
            return
        self._end(outcome, upstream.name)

    def _give_up(self) -> None:
        if self._kept is not None:
            self._end(*self._kept)
        else:
            self.fail(self._failure or ServerFailure(self._flights.settings.nobody))

    def _end(self, answer: Answer, upstream: str) -> None:
        self._is_over = True
        self._flights.landed(self)
        self._tell_all([self._first, *(self._followers or ())], answer, upstream)

    def _tell_all(self, waiting: list[Pending], answer: Answer, upstream: str) -> None:
        if len(waiting) > TOGETHER:
            self._flights.later(self._tell_all, waiting[TOGETHER:], answer, upstream)
        for pending in waiting[:TOGETHER]:
            self._tell(pending, answer, upstream)

    def _tell(self, pending: Pending, answer: Answer, upstream: str) -> None:
        question = pending.question
        if question.metadata is not None:
            question.metadata["forward/upstream"] = upstream
        keeper = pending.keeper
        if keeper is not None:
            try:
                answer = keeper.came(answer, question, pending.key)
            except Exception:  # noqa: BLE001 - told as any other end
                pending.tell(Failure())
                return
        pending.tell(answer)

    def fail(self, error: ServerFailure) -> None:
        """Tell everybody who waits that there will be no answer."""
        self._is_over = True
        self._flights.landed(self)
        self._tell_failure([self._first, *(self._followers or ())], error)

    def _tell_failure(self, waiting: list[Pending], error: ServerFailure) -> None:
        if len(waiting) > TOGETHER:
            self._flights.later(self._tell_failure, waiting[TOGETHER:], error)
        for pending in waiting[:TOGETHER]:
            pending.tell(Failure(error))
