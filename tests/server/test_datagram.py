"""Datagrams: what a bug above the socket may cost, and the way back of replies that waited."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from k8sdns.answers import Question
from k8sdns.server import datagram
from k8sdns.server.datagram import (
    ALONE,
    BATCH,
    HAS_COMPILED,
    SHARE,
    CompiledPort,
    DatagramPort,
    SourceKeepingPort,
)
from k8sdns.waiting import Pending

KINDS = [DatagramPort, SourceKeepingPort, *([CompiledPort] if HAS_COMPILED else [])]


class Reactor:
    def addReader(self, _reader: object) -> None: ...


@contextlib.contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A bound socket, and a client's that is connected to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        client.settimeout(5)
        client.connect(sock.getsockname())
        yield sock, client


def respond(message: bytes, _address: Any, _local: Any) -> bytes:
    if message == b"bad":
        raise ValueError("a bug")
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_costs_one_query_and_not_the_port(kind: Any) -> None:
    """What leaves doRead makes the reactor close the socket, for everybody and for good."""
    with sockets() as (sock, client):
        port = kind(sock, respond, Reactor())
        client.send(b"bad")
        client.send(b"good")
        port.doRead()
        assert client.recv(100) == b"good"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("seconds_a_query", "batches"),
    [(0.0, 4), (SHARE / BATCH / 2, 2), (SHARE / BATCH, 1), (1.0, 1)],
)
def test_a_wake_up_answers_what_fits_into_its_share(
    kind: Any, seconds_a_query: float, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a listing fills the turns of the event loop, queries must not get less than it does."""
    now, answered = [0.0], [0]

    def slowly(_message: bytes, _address: Any, _local: Any) -> None:
        answered[0] += 1
        now[0] += seconds_a_query

    monkeypatch.setattr(datagram, "monotonic", lambda: now[0])
    with sockets() as (sock, client):
        for _ in range(4 * BATCH):
            client.send(b"query")
        kind(sock, slowly, Reactor()).doRead()
    assert answered[0] == batches * BATCH


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_reply_that_waited_goes_to_who_asked(kind: Any, family: int, host: str) -> None:
    waiting: list[Pending] = []

    def later(message: bytes, address: Any, _local: Any) -> Pending:
        question = Question()
        question.message, question.address = message, address
        waiting.append(Pending(question))
        return waiting[-1]

    with (
        socket.socket(family, socket.SOCK_DGRAM) as sock,
        socket.socket(family, socket.SOCK_DGRAM) as first,
        socket.socket(family, socket.SOCK_DGRAM) as second,
    ):
        try:
            sock.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 here")
        sock.setblocking(False)
        port = kind(sock, later, Reactor())
        for client, query in ((first, b"one"), (second, b"two")):
            client.settimeout(5)
            client.connect(sock.getsockname())
            client.send(query)
            port.doRead()
        for pending in waiting[::-1]:
            pending.way_back.send_reply(None, pending)
            pending.way_back.send_reply(b"to " + pending.question.message, pending)
        assert first.recv(100) == b"to one"
        assert second.recv(100) == b"to two"
        port.doRead()
        assert port.lost_replies == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_that_comes_when_the_port_is_closed_is_nobodys(kind: Any) -> None:
    pending = Pending(Question())
    pending.question.address = ("127.0.0.1", 9)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        port = kind(sock, lambda *_: pending, Reactor())
        client.connect(sock.getsockname())
        client.send(b"query")
        port.doRead()
        port.connectionLost(Failure(ConnectionDone()))
        pending.way_back.send_reply(b"reply", pending)


@pytest.mark.parametrize("kind", KINDS)
def test_where_queries_come_one_by_one_nobody_looks_for_a_second(kind: Any) -> None:
    """Each wake-up then takes one; every so often it is seen whether they still come so."""
    answered: list[bytes] = []

    def respond(message: bytes, _address: Any, _local: Any) -> None:
        answered.append(message)

    with sockets() as (sock, client):
        port = kind(sock, respond, Reactor())

        def taken(sent: int) -> int:
            before = len(answered)
            for _ in range(sent):
                client.send(b"query")
            port.doRead()
            return len(answered) - before

        assert taken(2) == 2
        assert taken(1) == 1
        assert [taken(2) for _ in range(ALONE)] == [1] * ALONE
        assert taken(0) == ALONE
        assert taken(5) == 5
