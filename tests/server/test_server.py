"""One query's life, from octets to octets."""

from __future__ import annotations

import random
from typing import Any

import dns.flags
import dns.message
import dns.rdataclass
import pytest
from hypothesis import given, strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.names.server import DNSServerFactory
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question, ZoneDenial
from k8sdns.interfaces import IAuthority, IObserver, IPendingAuthority, IRotation, IRouting
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.deadlines import Deadlines
from k8sdns.server.router import Route, Router
from k8sdns.server.server import MAX_DEPTH, Server
from k8sdns.waiting import Pending

ZONE = names.from_text("example.org")
CLIENT = ("192.0.2.9", 4321)


@implementer(IAuthority)
class Zone:
    """Knows addresses of www, is silent about drop, waits for later, and follows loop for ever."""

    word = "zone"

    def __init__(self) -> None:
        self.later: Deferred[Answer] = Deferred()
        soa = records.soa(ZONE, ZONE, ZONE, (1, 2, 3, 4, 5), 5)
        self._denial = ZoneDenial(ZONE, soa, rcode=records.NXDOMAIN)

    def answer(self, question: Question) -> Any:
        label = names.labels_of(question.qname)[0] if len(question.qname) > 1 else b""
        if label == b"www":
            found = tuple(records.address(question.qname, f"192.0.2.{n}", 5) for n in range(1, 4))
            return Answer(found, aa=True)
        if label == b"drop":
            return SILENT
        if label == b"later":
            return self.later
        if label == b"loop":
            return question.server.lookup(question, question.qname, question.qtype)
        if label == b"broken":
            return Answer((records.Record(b"\x05cut", 1, 5, b""),))
        return self._denial if names.is_subdomain(question.qname, ZONE) else None


def serve(*things: Any, zone: bytes = names.ROOT, **arguments: Any) -> Server:
    metrics = arguments.pop("metrics", None) or Metrics()
    block = ServerBlock(things, metrics.counter(PANICS), ["zone"])
    return Server(
        Router([Route(zone, block)]), arguments.pop("clock", Clock()), metrics, **arguments
    )


def ask(server: Server, name: str, **kwargs: Any) -> dns.message.Message | None:
    wire = server.respond(dns.message.make_query(name, "A", **kwargs).to_wire(), CLIENT)
    assert not isinstance(wire, Deferred)
    return None if wire is None else dns.message.from_wire(wire)


def test_a_server_is_a_twisted_names_factory() -> None:
    assert isinstance(serve(Zone()), DNSServerFactory)


def test_names_are_answered_and_denied() -> None:
    server = serve(Zone())
    found = ask(server, "www.example.org")
    assert found is not None
    assert (found.rcode(), len(found.answer[0])) == (0, 3)
    assert found.flags & dns.flags.AA
    assert found.flags & dns.flags.RD
    missing = ask(server, "gone.example.org")
    assert missing is not None
    assert missing.rcode() == records.NXDOMAIN


def test_silence_is_an_answer() -> None:
    assert ask(serve(Zone()), "drop.example.org") is None


def test_what_no_block_serves_is_refused() -> None:
    refused = ask(serve(Zone(), zone=ZONE), "www.example.net")
    assert refused is not None
    assert refused.rcode() == records.REFUSED
    assert not refused.flags & dns.flags.AA


@pytest.mark.parametrize(("any_class", "rcode"), [(False, records.REFUSED), (True, 0)])
def test_other_classes_are_refused_unless_a_block_knows_them(any_class: bool, rcode: int) -> None:
    server = serve(Zone(), serves_any_class=any_class)
    reply = ask(server, "www.example.org", rdclass="CH")
    assert reply is not None
    assert reply.rcode() == rcode


def test_an_answer_may_come_later() -> None:
    zone = Zone()
    server = serve(zone)
    pending = server.respond(dns.message.make_query("later.example.org", "A").to_wire(), CLIENT)
    assert isinstance(pending, Deferred)
    replies: list[Any] = []
    pending.addCallback(replies.append)
    zone.later.callback(Answer(rcode=records.NOTIMP))
    assert dns.message.from_wire(replies[0]).rcode() == records.NOTIMP


@implementer(IPendingAuthority)
class Waiting:
    """An authority that answers when the test does."""

    word = "waiting"

    def __init__(self) -> None:
        self.pending: list[Pending] = []

    def begin(self, question: Question) -> Pending:
        self.pending.append(Pending(question))
        return self.pending[-1]

    def answer(self, question: Question) -> Any:
        return self.begin(question).deferred()


class WayBack:
    """Takes replies."""

    def __init__(self) -> None:
        self.replies: list[Any] = []

    def send_reply(self, reply: bytes | None, _pending: Pending) -> None:
        self.replies.append(reply)


def begun(server: Server) -> Any:
    return server.begin(dns.message.make_query("later.example.org", "A").to_wire(), CLIENT)


def test_a_pending_has_a_way_back_and_a_deadline() -> None:
    clock, authority, way_back = Clock(), Waiting(), WayBack()
    server = serve(authority, clock=clock)
    for _ in range(2):
        begun(server).way_back = way_back
    authority.pending[0].tell(Answer(rcode=records.NOTIMP))
    assert dns.message.from_wire(way_back.replies[0]).rcode() == records.NOTIMP
    assert len(server.deadlines) == 1
    clock.advance(12.1)
    assert dns.message.from_wire(way_back.replies[1]).rcode() == records.SERVFAIL
    assert len(server.deadlines) == 0
    authority.pending[1].tell(Answer())
    assert len(way_back.replies) == 2


def test_where_too_many_wait_the_last_gets_its_reply_at_once() -> None:
    authority = Waiting()
    server = serve(authority, clock=Clock())
    server.deadlines = Deadlines(Clock(), bound=1)
    assert isinstance(begun(server), Pending)
    assert dns.message.from_wire(begun(server)).rcode() == records.SERVFAIL


def test_nobody_waits_for_ever() -> None:
    clock = Clock()
    server = serve(Zone(), clock=clock)
    pending = server.respond(dns.message.make_query("later.example.org", "A").to_wire(), CLIENT)
    assert isinstance(pending, Deferred)
    replies: list[Any] = []
    pending.addCallback(replies.append)
    clock.advance(11.9)
    assert replies == []
    clock.advance(0.2)
    assert dns.message.from_wire(replies[0]).rcode() == records.SERVFAIL
    assert clock.getDelayedCalls() == []


def test_self_lookups_end() -> None:
    reply = ask(serve(Zone()), "loop.example.org")
    assert reply is not None
    assert reply.rcode() == records.SERVFAIL


def test_a_lookup_keeps_the_client_and_counts_its_depth() -> None:
    asked: list[Question] = []

    @implementer(IAuthority)
    class Watching:
        word = "watching"

        def answer(self, question: Question) -> Answer:
            asked.append(question)
            return Answer()

    server = serve(Watching())
    question = Question(names.from_text("a.example.org"))
    question.address = CLIENT
    server.lookup(question, names.from_text("b.example.org"), records.AAAA)
    assert (asked[0].peer, asked[0].depth, asked[0].qtype) == (CLIENT, 1, records.AAAA)
    assert MAX_DEPTH == 10


def test_an_answer_that_cannot_be_written_is_a_server_failure() -> None:
    metrics = Metrics()
    reply = ask(serve(Zone(), metrics=metrics), "broken.example.org")
    assert reply is not None
    assert reply.rcode() == records.SERVFAIL
    assert metrics.counter(PANICS)[()] == 1


def test_observers_see_each_reply_and_cannot_harm_it() -> None:
    seen: list[tuple[bytes, int, int]] = []

    @implementer(IObserver)
    class Watcher:
        def saw(self, question: Question, answer: Answer, elapsed: float, size: int) -> None:
            seen.append((question.qname, answer.rcode, size))
            raise ValueError("broken watcher")

    reply = ask(serve(Watcher(), Zone()), "www.example.org")
    assert reply is not None
    assert seen == [(names.from_text("www.example.org"), 0, 81)]


@implementer(IRouting)
class BrokenView:
    name = "broken"

    def admits(self, question: Question) -> bool:
        if question.name_text.startswith("www."):
            raise ZeroDivisionError("a bug")
        return True


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_bug_in_a_view_costs_that_query_only(is_stream: bool) -> None:
    metrics = Metrics()
    server = serve(Zone(), BrokenView(), metrics=metrics)
    ask_with = server.respond_to_stream if is_stream else server.respond
    for name, rcode in (("www.example.org", 2), ("a.example.org", 3)):
        query = dns.message.make_query(name, "A").to_wire()
        reply: Any = ask_with(query, CLIENT, ("", 53))
        assert dns.message.from_wire(reply).rcode() == rcode
    assert sum(metrics.counter(PANICS).values()) == 1


def test_what_is_refused_is_seen_outside_the_blocks() -> None:
    seen: list[int] = []
    server = serve(Zone(), zone=ZONE, dropped=(lambda *args: seen.append(args[1].rcode),))
    ask(server, "www.example.net")
    assert seen == [records.REFUSED]


def test_a_rotation_chooses_the_first_address() -> None:
    @implementer(IRotation)
    class Rotation:
        def first(self, question: Question, answer: Answer, count: int) -> int:
            return count - 1

    reply = ask(serve(Zone(), Rotation()), "www.example.org")
    assert reply is not None
    assert reply.answer[0][0].address == "192.0.2.3"


def server_under_fire() -> Server:
    zone = Zone()
    zone.later.callback(Answer())
    return serve(zone, serves_any_class=True)


UNDER_FIRE = server_under_fire()


@given(st.binary(max_size=512))
def test_any_octets_get_a_valid_reply_or_silence(octets: bytes) -> None:
    """Law 1, over the whole server."""
    check_reply(octets)


@given(
    st.integers(0, 2**32), st.sampled_from(["www.example.org", "x.example.org", "later.example"])
)
def test_any_damage_to_a_query_gets_a_valid_reply_or_silence(seed: int, name: str) -> None:
    draw = random.Random(seed)
    wire = bytearray(dns.message.make_query(name, "A", use_edns=0).to_wire())
    for _ in range(draw.randrange(4)):
        wire[draw.randrange(len(wire))] = draw.randrange(256)
    check_reply(bytes(wire[: draw.randrange(len(wire) + 1)]))


def check_reply(octets: bytes) -> None:
    result = UNDER_FIRE.respond(octets, CLIENT)
    if isinstance(result, Deferred):
        replies: list[Any] = []
        result.addCallback(replies.append)
        result = replies[0]
    if result is not None:
        reply = dns.message.from_wire(result)
        assert len(result) <= 1232
        assert reply.flags & dns.flags.QR
        assert reply.id == int.from_bytes(octets[:2], "big")
