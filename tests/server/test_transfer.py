"""Several messages of one answer over a stream: in order, at the peer's pace, framed."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from k8sdns import names, records
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.transfer import Receivers, TransferAuthority
from k8sdns.metrics import PANICS, Metrics
from k8sdns.records import Record
from k8sdns.server.block import ServerBlock
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server
from k8sdns.server.stream import DNSStream, Streams

ZONE = names.from_text("example.org")


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


class Sources:
    """One large zone."""

    def zones(self):
        return (ZONE,)

    def zone_serial(self, zone):
        return 7 if zone == ZONE else None

    def zone_records(self, zone):
        soa = record_from_text("example.org. 60 SOA ns. admin. 7 7200 3600 1209600 600")
        yield soa
        for n in range(2000):
            yield Record(
                names.from_labels((b"h%d" % n,), ZONE), records.TXT, 60, b"\xc8" + bytes(200)
            )
        yield soa


def test_a_server_sends_a_large_zone_whole():
    authority = TransferAuthority([Receivers((ZONE,), anybody=True)], lambda: [Sources()])
    metrics = Metrics()
    block = ServerBlock([authority], metrics.counter(PANICS), ["transfer"])
    server = Server(Router([Route(names.ROOT, block)]), Clock(), metrics)
    stream = server.buildProtocol(None)
    transport = Transport()
    stream.makeConnection(transport)
    stream.dataReceived(framed(dns.message.make_query("example.org", "AXFR").to_wire()))
    sent, found = transport.value(), []
    while sent:
        size = struct.unpack_from("!H", sent)[0]
        message = dns.message.from_wire(sent[2 : 2 + size], xfr=True, one_rr_per_rrset=True)
        assert message.flags & dns.flags.AA
        found.append(sum(len(rrset) for rrset in message.answer))
        sent = sent[2 + size :]
    assert len(found) > 1
    assert sum(found) == 2002
