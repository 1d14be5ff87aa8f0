"""Streams: framing, pipelining, time and bounds."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from k8sdns.server.stream import MAX_GATHERED_OCTETS, DNSStream, StreamLimits, Streams


class Transport(StringTransport):
    """A transport that remembers how it was ended."""

    aborted = False

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 4321))

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class SocketTransport(Transport):
    """One over a socket that takes so many octets before its buffer is full."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.sent: list[bytes] = []

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.room < 0:
            return ConnectionResetError()
        taken, self.room = data[: self.room], max(0, self.room - len(data))
        self.sent.append(taken)
        return len(taken)


class Server:
    """Echoes messages; those that begin with ``wait`` are answered when told."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.waiting: dict[bytes, Deferred[bytes | None]] = {}

    def respond(self, message: bytes, _address: Any, _local: Any) -> Any:
        self.asked.append(message)
        if message.startswith(b"drop"):
            return None
        if message.startswith(b"at once"):
            return succeed(message)
        if message.startswith(b"wait"):
            self.waiting[message] = Deferred()
            return self.waiting[message]
        return message


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack("!H", len(message)) + message for message in messages)


def connected(streams: Streams, server: Server, transport: Any = None) -> tuple[DNSStream, Any]:
    stream = streams.protocol(server.respond)
    assert stream is not None
    transport = transport or Transport()
    stream.makeConnection(transport)
    return stream, transport


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_messages_arrive_however_they_are_cut(messages: list[bytes], data: Any) -> None:
    server, octets = Server(), framed(*messages)
    stream, _transport = connected(Streams(Clock()), server)
    while octets:
        size = data.draw(st.integers(1, len(octets)))
        stream.dataReceived(octets[:size])
        octets = octets[size:]
    assert server.asked == messages


def test_replies_leave_as_they_become_ready() -> None:
    server = Server()
    stream, transport = connected(Streams(Clock()), server)
    stream.dataReceived(framed(b"wait 1", b"quick", b"drop", b"wait 2"))
    assert transport.value() == framed(b"quick")
    server.waiting[b"wait 2"].callback(b"second")
    server.waiting[b"wait 1"].callback(b"first")
    assert transport.value() == framed(b"quick", b"second", b"first")


def test_a_deferred_that_has_fired_already_is_an_answer_like_others() -> None:
    """A forward that cannot send fails before it returns."""
    server = Server()
    stream, transport = connected(Streams(Clock()), server)
    stream.dataReceived(framed(b"at once 1", b"quick", b"at once 2") + b"\x00")
    assert server.asked == [b"at once 1", b"quick", b"at once 2"]
    assert transport.value() == framed(b"at once 1", b"quick", b"at once 2")
    stream.dataReceived(b"\x04next")
    assert server.asked[3:] == [b"next"]


def test_the_last_query_of_a_connection_is_answered_before_it_ends() -> None:
    server = Server()
    stream, transport = connected(Streams(Clock(), StreamLimits(messages=2)), server)
    stream.dataReceived(framed(b"wait 1", b"wait 2", b"too many"))
    assert not transport.disconnecting
    server.waiting[b"wait 2"].callback(b"second")
    assert not transport.disconnecting
    server.waiting[b"wait 1"].callback(b"first")
    assert transport.value() == framed(b"second", b"first")
    assert transport.disconnecting
    assert server.asked == [b"wait 1", b"wait 2"]


def test_a_failed_query_leaves_the_connection_alone() -> None:
    server = Server()
    stream, transport = connected(Streams(Clock()), server)
    stream.dataReceived(framed(b"wait"))
    server.waiting[b"wait"].errback(ValueError("broken"))
    stream.dataReceived(framed(b"next"))
    assert transport.value() == framed(b"next")


def test_what_is_ready_at_once_leaves_in_one_write() -> None:
    transport = SocketTransport(room=1000)
    stream, _ = connected(Streams(Clock()), Server(), transport)
    stream.dataReceived(framed(b"one", b"wait", b"two"))
    stream.dataReceived(framed(b"three"))
    assert transport.sent == [framed(b"one", b"two"), framed(b"three")]
    assert transport.value() == b""


@pytest.mark.parametrize("room", [0, 1, 5, 8, 9, 10, -1])
def test_what_a_full_socket_leaves_goes_through_the_transport_in_order(room: int) -> None:
    server, transport = Server(), SocketTransport(room)
    stream, _ = connected(Streams(Clock()), server, transport)
    stream.dataReceived(framed(b"one", b"wait"))
    transport.room = max(transport.room, 0)
    stream.dataReceived(framed(b"two"))
    transport.room = 1000  # the socket has room again, the transport has octets yet
    stream.dataReceived(framed(b"three"))
    server.waiting[b"wait"].callback(b"four")
    written = b"".join(transport.sent) + transport.value()
    assert written == framed(b"one", b"two", b"three", b"four")


def test_many_long_replies_are_not_gathered_without_bound() -> None:
    transport = SocketTransport(room=1_000_000)
    stream, _ = connected(Streams(Clock()), Server(), transport)
    stream.dataReceived(framed(*[bytes(4000)] * 20))
    assert b"".join(transport.sent) == framed(*[bytes(4000)] * 20)
    assert max(map(len, transport.sent)) <= MAX_GATHERED_OCTETS + 4002 + 20


def test_the_last_reply_is_out_before_the_end() -> None:
    transport = SocketTransport(room=1000)
    stream, _ = connected(Streams(Clock(), StreamLimits(messages=1)), Server(), transport)
    stream.dataReceived(framed(b"at once"))
    assert transport.sent == [framed(b"at once")]
    assert transport.disconnecting


class TestTime:
    """A peer has so long and no longer."""

    def limits(self) -> StreamLimits:
        return StreamLimits(first_message_after=3.0, idle_after=10.0, write_after=5.0)

    def test_the_first_message_must_come_soon(self) -> None:
        clock = Clock()
        _stream, transport = connected(Streams(clock, self.limits()), Server())
        clock.pump([1.0] * 2)
        assert not transport.aborted
        clock.pump([1.0] * 2)
        assert transport.aborted

    def test_half_a_message_does_not_buy_time(self) -> None:
        clock = Clock()
        stream, transport = connected(Streams(clock, self.limits()), Server())
        for octet in framed(b"abcdefghij")[:8]:
            stream.dataReceived(bytes((octet,)))
            clock.pump([0.5])
        assert transport.aborted

    def test_an_idle_connection_is_closed_later(self) -> None:
        clock = Clock()
        stream, transport = connected(Streams(clock, self.limits()), Server())
        stream.dataReceived(framed(b"x"))
        clock.pump([1.0] * 9)
        assert not transport.aborted
        clock.pump([1.0] * 2)
        assert transport.aborted

    def test_who_waits_for_us_is_not_idle(self) -> None:
        clock, server = Clock(), Server()
        stream, transport = connected(Streams(clock, self.limits()), server)
        stream.dataReceived(framed(b"wait"))
        clock.pump([1.0] * 20)
        assert not transport.aborted
        server.waiting[b"wait"].callback(b"done")
        clock.pump([1.0] * 11)
        assert transport.aborted

    def test_who_does_not_read_is_cut_off(self) -> None:
        clock = Clock()
        stream, transport = connected(Streams(clock, self.limits()), Server())
        stream.dataReceived(framed(b"x"))
        stream.pauseProducing()
        clock.pump([1.0] * 6)
        assert transport.aborted


class TestBounds:
    """What one peer, and all of them, can hold."""

    def test_only_so_many_queries_are_in_flight(self) -> None:
        server = Server()
        stream, transport = connected(Streams(Clock(), StreamLimits(in_flight=2)), server)
        stream.dataReceived(framed(b"wait 1", b"wait 2", b"wait 3", b"wait 4"))
        assert server.asked == [b"wait 1", b"wait 2"]
        assert transport.producerState == "paused"
        server.waiting[b"wait 1"].callback(b"1")
        assert server.asked == [b"wait 1", b"wait 2", b"wait 3"]
        server.waiting[b"wait 2"].callback(None)
        server.waiting[b"wait 3"].callback(None)
        server.waiting[b"wait 4"].callback(None)
        assert transport.producerState == "producing"

    def test_a_peer_that_does_not_read_is_not_read_from(self) -> None:
        server = Server()
        stream, transport = connected(Streams(Clock()), server)
        stream.dataReceived(framed(b"1"))
        stream.pauseProducing()
        assert transport.producerState == "paused"
        stream.dataReceived(framed(b"2"))
        assert server.asked == [b"1"]
        stream.resumeProducing()
        assert server.asked == [b"1", b"2"]

    def test_the_oldest_idle_connection_makes_room(self) -> None:
        server = Server()
        streams = Streams(Clock(), StreamLimits(connections=3))
        busy, busy_transport = connected(streams, server)
        busy.dataReceived(framed(b"wait"))
        older, older_transport = connected(streams, server)
        older.dataReceived(framed(b"x"))
        newer, newer_transport = connected(streams, server)
        newer.dataReceived(framed(b"x"))
        connected(streams, server)
        assert older_transport.aborted
        assert not busy_transport.aborted
        assert not newer_transport.aborted
        assert len(streams) == 3

    def test_when_all_are_busy_nobody_else_is_let_in(self) -> None:
        server = Server()
        streams = Streams(Clock(), StreamLimits(connections=1))
        busy, _transport = connected(streams, server)
        busy.dataReceived(framed(b"wait"))
        assert streams.protocol(server.respond) is None
        assert streams.turned_away == 1

    def test_a_connection_may_ask_only_so_often(self) -> None:
        server = Server()
        stream, transport = connected(Streams(Clock(), StreamLimits(messages=2)), server)
        stream.dataReceived(framed(b"1", b"2", b"3"))
        assert server.asked == [b"1", b"2"]
        assert transport.disconnecting


def test_closing_all_ends_the_timer_too() -> None:
    clock = Clock()
    streams = Streams(clock)
    _stream, transport = connected(streams, Server())
    streams.close_all()
    assert transport.disconnecting
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("reply", [b"", b"x" * 65535])
def test_a_reply_is_one_write(reply: bytes) -> None:
    stream, transport = connected(Streams(Clock()), Server())
    writes: list[bytes] = []
    transport.write = writes.append  # type: ignore[method-assign]
    stream.dataReceived(framed(reply))
    assert writes == [framed(reply)]
