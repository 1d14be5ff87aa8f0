"""Several messages of one answer over a stream: in order, at the peer's pace, framed."""

from __future__ import annotations

import struct

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from k8sdns.server.stream import DNSStream, Streams


class Transport(StringTransport):
    def getPeer(self):
        return self

    def abortConnection(self):
        self.loseConnection()


def opened(replies):
    stream = DNSStream(lambda *_: replies.pop(0), Streams(Clock()))
    transport = Transport()
    stream.makeConnection(transport)
    return stream, transport


def framed(*replies):
    return b"".join(struct.pack("!H", len(each)) + each for each in replies)


def test_messages_of_a_transfer_leave_one_after_another():
    stream, transport = opened([iter([b"one", b"two"]), b"other"])
    stream.dataReceived(framed(b"query", b"query"))
    assert transport.value() == framed(b"one", b"two", b"other")
    assert stream.in_flight == 0


def test_a_transfer_waits_for_a_peer_that_does_not_read():
    taken = []

    def messages():
        for n in range(10):
            taken.append(n)
            if n == 2:
                stream.pauseProducing()
            yield b"%d" % n

    stream, transport = opened([messages()])
    stream.dataReceived(framed(b"query"))
    assert len(taken) == 3
    assert stream.in_flight == 1
    stream.resumeProducing()
    assert transport.value() == framed(*(b"%d" % n for n in range(10)))
    assert stream.in_flight == 0


def test_a_lost_connection_lets_go_of_its_transfer():
    stream, transport = opened([iter([b"one", b"two"])])
    stream.pauseProducing()
    stream._send(iter([b"x"]))
    stream.connectionLost()
    stream.resumeProducing()
    assert transport.value() == b""
