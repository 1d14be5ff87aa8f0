"""NOTIFY: who is told, how often, and what counts as a reply."""

from __future__ import annotations

import dns.message
import dns.opcode
import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import FakeDatagramTransport

from k8sdns import names
from k8sdns.authorities import notify
from k8sdns.authorities.notify import TRIES, Notifier

ZONE = names.from_text("example.org")
V4, V6 = ("192.0.2.53", 53), ("2001:db8::53", 5353)


class Zones:
    def __init__(self, **serials):
        self.serials = {names.from_text(zone): serial for zone, serial in serials.items()}

    def zones(self):
        return tuple(self.serials)

    def zone_serial(self, zone):
        return self.serials.get(zone)


class Network:
    """Ports by the address that they were opened on."""

    def __init__(self):
        self.transports = {}
        self.stopped = []

    def listen(self, protocol, local):
        transport = FakeDatagramTransport()
        self.transports[local] = transport
        protocol.makeConnection(transport)
        self.protocol = protocol
        transport.stopListening = lambda: self.stopped.append(local)
        return transport

    def sent(self, local="0.0.0.0"):
        transport = self.transports.get(local)
        return transport.written if transport else []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def start(clock, network):
    def make(zones, addresses=(V4,), **options):
        notifier = Notifier(
            clock, network.listen, [((ZONE,), addresses)], lambda: [zones], **options
        )
        notifier.startService()
        return notifier

    return make


@pytest.fixture
def zones():
    zones = Zones()
    zones.serials[ZONE] = 7
    return zones


def reply_to(datagram, **changes):
    reply = dns.message.make_response(dns.message.from_wire(datagram))
    for name, value in changes.items():
        setattr(reply, name, value)
    return reply.to_wire()


def test_receivers_are_told_at_the_start_and_when_the_serial_moves(start, zones, network, clock):
    start(zones)
    ((datagram, address),) = network.sent()
    message = dns.message.from_wire(datagram)
    assert message.opcode() == dns.opcode.NOTIFY
    assert message.question[0].to_text() == "example.org. IN SOA"
    assert address == V4
    network.protocol.datagramReceived(reply_to(datagram), V4)
    clock.pump([5, 5])
    assert len(network.sent()) == 1
    zones.serials[ZONE] = 8
    clock.advance(5)
    assert len(network.sent()) == 2


def test_each_family_has_a_port_and_other_zones_are_not_told(start, zones, network):
    zones.serials[names.from_text("example.com")] = 1
    zones.serials[names.from_text("sub.example.org")] = 1
    start(zones, (V4, V6))
    assert [address for _, address in network.sent()] == [V4, V4]
    assert [address for _, address in network.sent("::")] == [V6, V6]


def test_from_a_given_address_only_its_family_is_told(start, zones, network):
    start(zones, (V4, V6), local="192.0.2.1")
    assert [address for _, address in network.sent("192.0.2.1")] == [V4]
    assert len(network.transports) == 1


def test_silence_is_asked_again_and_then_given_up(start, zones, network, clock):
    start(zones)
    clock.pump([2] * 5)
    assert len(network.sent()) == TRIES
    assert len(network.protocol) == 0


def test_only_the_receiver_s_own_reply_counts(start, zones, network):
    start(zones)
    (datagram, _), protocol = network.sent()[0], network.protocol
    for reply, sender in [
        (reply_to(datagram), ("192.0.2.99", 53)),
        (reply_to(datagram), ("192.0.2.53", 54)),
        (datagram, V4),
        (reply_to(datagram, id=dns.message.from_wire(datagram).id ^ 1), V4),
        (b"short", V4),
    ]:
        protocol.datagramReceived(reply, sender)
        assert len(protocol) == 1
    protocol.datagramReceived(reply_to(datagram), V4)
    assert len(protocol) == 0


def test_zones_that_are_not_loaded_are_not_told(start, zones, network):
    zones.serials[ZONE] = None
    start(zones)
    assert network.sent() == []


def test_the_end_leaves_nothing_behind(start, zones, network, clock):
    start(zones, (V4, V6)).stopService()
    assert clock.getDelayedCalls() == []
    assert sorted(network.stopped) == ["0.0.0.0", "::"]


def test_what_waits_is_bounded(start, zones, network, monkeypatch):
    monkeypatch.setattr(notify, "MAX_PENDING", 2)
    start(zones, tuple((f"192.0.2.{n}", 53) for n in range(5)))
    assert len(network.sent()) == 2
