"""Cluster names are answered before outside names that came earlier; those are bounded."""

from __future__ import annotations

import socket
import struct
from typing import Any, Self

import dns.message
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.interfaces import IAuthority, IRemoteAuthority, ITransferable
from k8sdns.metrics import PANICS, SHED_QUERIES, Metrics
from k8sdns.server import late as lateness
from k8sdns.server.block import ServerBlock
from k8sdns.server.datagram import HAS_COMPILED, CompiledPort, DatagramPort, SourceKeepingPort
from k8sdns.server.late import MAX_LATE
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server

KINDS = [DatagramPort, SourceKeepingPort, *([CompiledPort] if HAS_COMPILED else [])]
ZONE = names.from_text("cluster.local")
INSIDE, OUTSIDE = "web.shop.svc.cluster.local", "www.example.org"


@implementer(IAuthority, ITransferable)
class Cluster:
    """Answers what is in its zone, and notes that."""

    word = "kubernetes"

    def __init__(self, asked: list[str], zone: bytes = ZONE) -> None:
        self.asked = asked
        self.zone = zone

    def zones(self) -> tuple[bytes, ...]:
        return (self.zone, names.from_text("in-addr.arpa"))

    def answer(self, question: Question) -> Answer | None:
        if not names.is_subdomain(question.qname, self.zone):
            return None
        self.asked.append("inside")
        return Answer((records.address(question.qname, "10.0.0.1", 5),), source=self.word)


@implementer(IRemoteAuthority)
class Upstream:
    """Answers everything, as `how` wraps it."""

    word = "forward"

    def __init__(self, asked: list[str], how: Any = None) -> None:
        self.asked = asked
        self.how = how or (lambda answer: answer)

    def answer(self, question: Question) -> Any:
        self.asked.append("outside")
        return self.how(
            Answer((records.address(question.qname, "192.0.2.1", 5),), source="forward")
        )


class Reactor(Clock):
    """A clock that a port can register with, and that takes one turn at a time."""

    def addReader(self, _reader: object) -> None: ...

    def removeReader(self, _reader: object) -> None: ...

    def turn(self) -> None:
        """Run what waits now, and not what that asks for."""
        for call in self.getDelayedCalls():
            run, arguments = call.func, call.args
            call.cancel()
            run(*arguments)


def query(name: str) -> bytes:
    return dns.message.make_query(name, "A").to_wire()


class Served:
    """A port of `kind` on loopback, its server, and a client."""

    def __init__(self, kind: Any, *authorities: Any) -> None:
        self.metrics, self.reactor = Metrics(), Reactor()
        block = ServerBlock(authorities, self.metrics.counter(PANICS), ["kubernetes", "forward"])
        self.server = Server(Router([Route(names.ROOT, block)]), self.reactor, self.metrics)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        self.sock.setblocking(False)
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        self.client.connect(self.sock.getsockname())
        self.client.settimeout(5)
        self.port = kind(self.sock, self.server.repeater().respond, self.reactor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.port.close()
        self.client.close()

    def replies(self) -> list[dns.message.Message]:
        self.client.setblocking(False)
        found = []
        while True:
            try:
                found.append(dns.message.from_wire(self.client.recv(4096)))
            except BlockingIOError:
                return found

    def shed(self) -> float:
        return self.metrics.counter(SHED_QUERIES)[(self.server.name,)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", [None, succeed], ids=["at hand", "a Deferred"])
def test_cluster_names_come_first(kind: Any, how: Any) -> None:
    asked: list[str] = []
    with Served(kind, Cluster(asked), Upstream(asked, how)) as served:
        for name in (OUTSIDE, INSIDE, OUTSIDE, INSIDE.upper(), OUTSIDE):
            served.client.send(query(name))
        served.port.doRead()
        assert asked == ["inside"] * 2 + ["outside"] * 3
        assert len(served.replies()) == 5
        assert served.shed() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_reply_that_is_waited_for_goes_to_who_asked(kind: Any) -> None:
    waiting: list[Any] = []

    def later(answer: Answer) -> Deferred[Any]:
        waiting.append((Deferred(), answer))
        return waiting[-1][0]

    with Served(kind, Cluster([]), Upstream([], later)) as served:
        served.client.send(query(OUTSIDE))
        served.port.doRead()
        assert served.replies() == []
        told, answer = waiting[0]
        told.callback(answer)
        assert [reply.answer[0][0].address for reply in served.replies()] == ["192.0.2.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_where_they_take_long_they_share_the_turns(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(lateness, "monotonic", lambda: now[0])

    def slowly(answer: Answer) -> Answer:
        now[0] += lateness.SHARE / 2
        return answer

    asked: list[str] = []
    with Served(kind, Cluster(asked), Upstream(asked, slowly)) as served:
        for _ in range(5):
            served.client.send(query(OUTSIDE))
        served.port.doRead()
        assert asked == ["outside"] * 2
        served.client.send(query(INSIDE))
        served.port.doRead()
        assert asked == ["outside", "outside", "inside"]
        served.reactor.turn()
        assert asked.count("outside") == 4
        served.reactor.turn()
        assert asked.count("outside") == 5
        assert served.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_room_to_wait_is_shed(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "monotonic", iter(range(10_000)).__next__)  # one a turn
    asked: list[str] = []
    with Served(kind, Cluster(asked), Upstream(asked)) as served:
        for number in range(MAX_LATE + 11):
            served.client.send(query(f"n{number}.example.org"))
            if number:  # the first two come together: one of them waits for another turn
                served.port.doRead()
        served.client.send(query(INSIDE))
        served.port.doRead()
        assert asked == ["outside", "inside"]
        assert served.shed() == 10
        codes = [reply.rcode() for reply in served.replies()]
        assert codes.count(dns.rcode.SERVFAIL) == 10
        assert len(codes) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_costs_one_late_query(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Served(kind, Cluster([]), Upstream([])) as served:
        begin = served.server.repeater().ask

        def broken(message: bytes, *rest: Any) -> Any:
            raise ValueError("a bug")

        served.client.send(query(OUTSIDE))
        monkeypatch.setattr(lateness.Late, "begin", lambda late: broken(late.message))
        served.port.doRead()
        monkeypatch.setattr(
            lateness.Late,
            "begin",
            lambda late: begin(late.message, late.address, late.local_address),
        )
        served.client.send(query(OUTSIDE))
        served.port.doRead()
        assert len(served.replies()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_that_closes_forgets_them(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "monotonic", iter(range(10_000)).__next__)
    with Served(kind, Cluster([]), Upstream([])) as served:
        for _ in range(3):
            served.client.send(query(OUTSIDE))
        served.port.doRead()
        served.port.close()
        assert served.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    "authorities",
    [
        lambda asked: [Cluster(asked)],
        lambda asked: [Upstream(asked)],
        lambda asked: [Cluster(asked, names.ROOT), Upstream(asked)],
    ],
    ids=["nothing is forwarded", "nothing is live", "everything is live"],
)
def test_where_there_is_no_choice_nothing_waits(authorities: Any) -> None:
    asked: list[str] = []
    with Served(DatagramPort, *authorities(asked)) as served:
        repeater = served.server.repeater()
        reply = repeater.respond(query(OUTSIDE), ("127.0.0.1", 5), ("127.0.0.1", 53))
        assert isinstance(reply, bytes)


def test_what_is_no_query_is_rejected_when_it_is_shed() -> None:
    with Served(DatagramPort, Cluster([]), Upstream([])) as served:
        cut = query(OUTSIDE)[:14]
        reply = served.server.shed(cut, ("127.0.0.1", 5), ("127.0.0.1", 53))
        assert reply is not None
        assert struct.unpack_from("!H", reply, 2)[0] & 0xF == dns.rcode.FORMERR
        assert served.server.shed(b"", ("127.0.0.1", 5), ("127.0.0.1", 53)) is None
