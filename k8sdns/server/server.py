"""A listener's server: one query's life from octets to octets.

Owns the first checks of a query, the joining of blocks and writer, and lookups that re-enter the
routing. It *is* a `twisted.names.server.DNSServerFactory`: it makes the stream protocols and can
be given to any Twisted endpoint; datagrams come to `respond` directly. Refuses to know how
octets travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.names.server import DNSServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import answers, records
from k8sdns.answers import SILENT, Answer, Question
from k8sdns.authorities.livezone import holds_addresses
from k8sdns.authorities.transfer import TRANSFER_TYPES, TransferAnswer
from k8sdns.errors import ServerFailure
from k8sdns.interfaces import ILookup, IRemoteAuthority, ITransferable
from k8sdns.metrics import PANICS, SHED_QUERIES, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.chain import Chain
from k8sdns.server.deadlines import Deadlines
from k8sdns.server.repeats import Repeater
from k8sdns.server.router import Route, Router
from k8sdns.server.stream import DNSStream, Streams
from k8sdns.waiting import Pending
from k8sdns.wire.edns import DEFAULT_PAYLOAD
from k8sdns.wire.reader import read
from k8sdns.wire.writer import bare_reply, reply

log = Logger()

MAX_DEPTH: Final = 10  # self-lookups on behalf of one query

Reply: TypeAlias = "bytes | None"
StreamReply: TypeAlias = "bytes | Iterator[bytes] | None"
Learn: TypeAlias = Callable[[Question, Answer, ServerBlock, bytes], None]
Saw: TypeAlias = Callable[[Question, Answer, float, int], None]

_SHED: Final = ServerFailure("more outside names wait than can be asked for")
_TOO_DEEP: Final = ServerFailure("names lead to one another too deeply")


@implementer(ILookup)
class Server(DNSServerFactory):
    """Answers the queries of one listener.

    `serves_any_class` is set where a block can make sense of classes other than IN. `dropped`
    observes what is answered outside every block. `asked_at` is when the last query came, by the
    clock given.
    """

    noisy = False

    def __init__(
        self,
        router: Router,
        clock: IReactorTime,
        metrics: Metrics,
        *,
        name: str = "dns://:53",
        serves_any_class: bool = False,
        dropped: tuple[Saw, ...] = (),
        payload_size: int = DEFAULT_PAYLOAD,
        streams: Streams | None = None,
    ) -> None:
        chains = [route.block.chain for route in router.routes]
        super().__init__(clients=chains)  # type: ignore[no-untyped-call]
        self.name = name
        self.router = router
        self.clock = clock
        self.payload_size = payload_size
        self.serves_any_class = serves_any_class
        self.dropped = dropped
        self.deadlines = Deadlines(clock)
        self.streams = streams if streams is not None else Streams(clock)
        self.queries = 0
        self.live_zones = live_zones(chains)
        self._shed = metrics.counter(SHED_QUERIES)
        self._streamed = Repeater(self, is_stream=True)
        self._repeaters = [self._streamed]
        self._panics = metrics.counter(PANICS)

    def repeater(self) -> Repeater:
        """Return what answers the datagrams of one more socket."""
        repeater = Repeater(self)
        self._repeaters.append(repeater)
        return repeater

    @property
    def asked(self) -> int:
        """How many queries came, those that were answered with an earlier reply included."""
        return self.queries + sum(repeater.served for repeater in self._repeaters)

    def tell_observers(self) -> None:
        """Bring observers up to date with the replies that were given again."""
        for _ in self.telling_observers():
            pass

    def telling_observers(self) -> Iterator[None]:
        """The same, step by step."""
        for repeater in self._repeaters:
            yield from repeater.telling()

    def forgetting_replies(self) -> Iterator[None]:
        """Drop all replies step by step; for a server that another one has taken the place of."""
        for repeater in self._repeaters:
            yield from repeater.forgetting()

    def succeed(self, old: Server) -> None:
        """Go on with the connections of the server that answered here before."""
        self.streams.take_over(old.streams, self.respond_to_stream)

    def buildProtocol(self, address: IAddress | None) -> DNSStream | None:  # noqa: ARG002
        """Return the protocol of one stream connection, or None if none can be had now."""
        return self.streams.protocol(self.respond_to_stream)

    def respond(
        self,
        message: bytes,
        address: tuple[Any, ...],
        local_address: tuple[Any, ...] = ("", 0),
        learn: Learn | None = None,
        is_stream: bool = False,
    ) -> Reply | Deferred[Reply]:
        """Return the reply to one message, None for silence, or a Deferred of either.

        `learn` is told of replies whose Answer is current.
        """
        reply = self.begin(message, address, local_address, learn, is_stream)
        return _Awaited(reply).reply if isinstance(reply, Pending) else reply

    def begin(
        self,
        message: bytes,
        address: tuple[Any, ...],
        local_address: tuple[Any, ...] = ("", 0),
        learn: Learn | None = None,
        is_stream: bool = False,
    ) -> Reply | Pending | Deferred[Reply]:
        """Do the same, except that a reply may be waited for by setting a Pending's `way_back`."""
        started = perf_counter()
        self.queries += 1
        question = read(message)
        if not isinstance(question, Question):
            return question
        question.address = address
        question.local_address = local_address
        question.server = self
        if is_stream:
            question.is_stream = True
        try:
            route = self.router.find(question)
        except Exception:  # noqa: BLE001 - a view's bug costs this query only
            return self._unroutable(question, started)
        if route is None or (question.qclass != records.IN and not self.serves_any_class):
            return self._refused(question, started)
        if is_stream and question.qtype in TRANSFER_TYPES:
            return self._ask_for_zone(question, route, started)  # type: ignore[no-any-return]
        result = route.block.ask(question)
        if isinstance(result, Answer):
            return self._finished(result, question, route, started, learn)
        if isinstance(result, Pending):
            return self._pending(result, route, started, learn)
        # One callback for all there is to do in the end: each costs a microsecond.
        self.deadlines.begin(result)
        return result.addBoth(self._ended, result, question, route, started, learn)

    def _pending(
        self, pending: Pending, route: Route, started: float, learn: Learn | None
    ) -> Reply | Pending:
        """Wait for an Answer, unless there is one already."""
        pending.context = (route, started, learn)
        if pending.is_over:
            self.heard(pending, pending.outcome)
            return pending.reply
        pending.listener = self
        return pending if self.deadlines.begin(pending) else pending.reply

    def heard(self, pending: Pending, outcome: Answer | Failure) -> None:
        """Send the reply that a wait came to."""
        self.deadlines.end(pending)
        route, started, learn = pending.context
        question = pending.question
        answer = route.block.settled(outcome, question)
        reply = self._finished(answer, question, route, started, learn)
        way_back = pending.way_back
        if way_back is None:
            pending.reply = reply
        else:
            way_back.send_reply(reply, pending)

    def respond_to_stream(
        self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]
    ) -> StreamReply | Deferred[Any]:
        """The same for one message of a stream; a zone transfer is an iterator of messages."""
        return self._streamed.respond(message, address, local_address)  # type: ignore[no-any-return]

    def _ask_for_zone(self, question: Question, route: Route, started: float) -> Any:
        """Return the reply to AXFR or IXFR: octets, an iterator of them, or a Deferred."""
        if question.qclass != records.IN:
            return self._refused(question, started)
        result = route.block.respond(question)
        if isinstance(result, Answer):
            return self._finished_zone(result, question, route, started)
        self.deadlines.watch(result)
        return result.addCallback(self._finished_zone, question, route, started)

    def _finished_zone(
        self, answer: Answer, question: Question, route: Route, started: float
    ) -> StreamReply:
        message = self._finished(answer, question, route, started, None)
        if message is not None and isinstance(answer, TransferAnswer):
            return self._messages(question, message, answer)
        return message

    def _messages(
        self, question: Question, first: bytes, answer: TransferAnswer
    ) -> Iterator[bytes]:
        """Yield the messages of a zone transfer, written as they are sent."""
        yield first
        for further in answer.further:
            yield reply(question, further, self.payload_size)

    def _ended(
        self,
        result: Answer | Failure | None,
        waiting: Deferred[Any],
        question: Question,
        route: Route,
        started: float,
        learn: Learn | None,
    ) -> Reply:
        self.deadlines.end(waiting)
        answer = route.block.settled(result, question)
        return self._finished(answer, question, route, started, learn)

    def _finished(
        self,
        answer: Answer,
        question: Question,
        route: Route,
        started: float,
        learn: Learn | None,
    ) -> Reply:
        block = route.block
        message = None
        size = 0
        if answer is not SILENT:
            try:
                payload_size = block.payload_size or self.payload_size
                message = reply(question, answer, payload_size, block.rotation)
            except Exception:  # noqa: BLE001 - a bug costs this query only
                message, answer = self._unwritable(question)
            size = len(message)
        if block.observers:
            question.route_zone = route.zone
            self._observed(block.observers, question, answer, started, size)
        if answer.error is not None:
            self._failed(block, question, answer)
        if answer.is_current and learn is not None and message is not None:
            learn(question, answer, block, message)
        return message

    def _unwritable(self, question: Question) -> tuple[bytes, Answer]:
        self._panics.add()
        log.failure("Could not write the answer to {question}", question=question)
        answer = answers.failed(ServerFailure("the answer could not be written"))
        return bare_reply(question, records.SERVFAIL, self.payload_size), answer

    def _observed(
        self,
        observers: tuple[Saw, ...],
        question: Question,
        answer: Answer,
        started: float,
        size: int,
    ) -> None:
        elapsed = perf_counter() - started
        for saw in observers:
            try:
                saw(question, answer, elapsed, size)
            except Exception:  # noqa: BLE001 - a bug costs this query only
                self._panics.add()
                log.failure("An observer failed on {question}", question=question)

    def _failed(self, block: ServerBlock, question: Question, answer: Answer) -> None:
        for saw_failure in block.failure_observers:
            try:
                saw_failure(question, answer)
            except Exception:  # noqa: BLE001 - a bug costs this query only
                self._panics.add()
                log.failure("An observer failed on {question}", question=question)

    def _unroutable(self, question: Question, started: float) -> bytes:
        self._panics.add()
        log.failure("Could not choose a block for {question}", question=question)
        message = bare_reply(question, records.SERVFAIL, self.payload_size)
        if self.dropped:
            answer = answers.failed(ServerFailure("no block could be chosen"))
            self._observed(self.dropped, question, answer, started, len(message))
        return message

    def _refused(self, question: Question, started: float) -> bytes:
        message = bare_reply(question, records.REFUSED, self.payload_size)
        if self.dropped:
            answer = Answer(rcode=records.REFUSED)
            self._observed(self.dropped, question, answer, started, len(message))
        return message

    def shed(
        self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]
    ) -> Reply:
        """Return SERVFAIL for a query that there is no time to answer, None to drop it."""
        started = perf_counter()
        self.queries += 1
        question = read(message)
        if not isinstance(question, Question):
            return question
        question.address, question.local_address = address, local_address
        question.server = self
        self._shed.add(self.name)
        reply = bare_reply(question, records.SERVFAIL, self.payload_size)
        if self.dropped:
            self._observed(self.dropped, question, answers.failed(_SHED), started, len(reply))
        return reply

    def lookup(self, question: Question, qname: bytes, qtype: int) -> Answer | Deferred[Answer]:
        """Answer (qname, qtype) from the top of this listener's routing, for the same client."""
        if question.depth >= MAX_DEPTH:
            return answers.failed(_TOO_DEEP)
        derived = question.derived(qname, qtype)
        route = self.router.find(derived)
        if route is None:
            return Answer(rcode=records.REFUSED)
        return route.block.respond(derived)


class _Awaited:
    """The way back of a reply that is waited for with a Deferred."""

    def __init__(self, pending: Pending) -> None:
        self.reply: Deferred[Reply] = Deferred()
        pending.way_back = self

    def send_reply(self, reply: Reply, _pending: Pending) -> None:
        self.reply.callback(reply)


def live_zones(chains: Iterable[Chain]) -> tuple[bytes, ...]:
    """Return the zones that are answered from what is known here, where others are asked too.

    The trees of addresses are not in it: what is missing there is often left to others.
    """
    authorities = [authority for chain in chains for authority in chain.authorities]
    if not any(IRemoteAuthority.providedBy(getattr(each, "remote", each)) for each in authorities):
        return ()
    zones = (
        zone for each in authorities if ITransferable.providedBy(each) for zone in each.zones()
    )
    return tuple(dict.fromkeys(zone for zone in zones if not holds_addresses(zone)))
