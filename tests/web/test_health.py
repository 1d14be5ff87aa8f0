"""/health, the watch over it, and the pause before the end."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import MemoryReactorClock, StringTransport

from k8sdns.corefile.kinds import Listen
from k8sdns.metrics import HEALTH_DURATION, HEALTH_FAILURES, Metrics
from k8sdns.web.health import Health, HealthPage, Lameduck
from k8sdns.web.sites import WebListener


class Port:
    def __init__(self, address):
        self.address = address

    def getHost(self):
        return self.address


@pytest.fixture
def reactor():
    return MemoryReactorClock()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def health(reactor, metrics):
    listener = WebListener(Listen("", 8080), reactor, lambda _host, _port: [])
    listener.ports = [Port(IPv4Address("TCP", "0.0.0.0", 8080))]
    health = Health(listener, reactor, metrics)
    health.startService()
    return health


def test_health_is_ok(ask, reactor):
    reply = ask(HealthPage(), "/health", reactor=reactor)
    assert (reply.status, reply.body) == (200, b"OK")


def accept(reactor):
    """Connect the last request, and return the transport it was sent over."""
    host, port, factory, *_ = reactor.tcpClients[-1]
    assert (host, port) == ("127.0.0.1", 8080)
    transport = StringTransport()
    transport.abortConnection = transport.loseConnection
    protocol = factory.buildProtocol(None)
    protocol.makeConnection(transport)
    return protocol, transport


@pytest.mark.filterwarnings("ignore:Using readBody")  # of the transport in memory
def test_the_server_asks_itself_every_second(health, reactor, metrics):
    reactor.advance(1)
    protocol, transport = accept(reactor)
    assert transport.value().startswith(b"GET /health HTTP/1.1\r\n")
    reactor.advance(0.01)
    protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
    assert metrics.histogram(HEALTH_DURATION).counts[()] == [0, 0, 1, 0, 0, 0]
    reactor.advance(1)
    assert transport.value().count(b"GET /health") == 2, "the connection is used again"


def test_no_answer_in_three_seconds_is_a_failure(health, reactor, metrics):
    reactor.advance(1)
    accept(reactor)
    reactor.pump([0.5] * 7)
    assert metrics.counter(HEALTH_FAILURES)[()] == 1
    assert sum(metrics.histogram(HEALTH_DURATION).counts[()]) == 0


def test_a_stopped_watch_asks_no_more(health, reactor):
    health.stopService()
    reactor.advance(5)
    assert reactor.tcpClients == []


@pytest.mark.parametrize(
    "listening, asked",
    [
        (IPv6Address("TCP", "::", 8080), ("::1", 8080)),
        (IPv6Address("TCP", "::1", 8081), ("::1", 8081)),
        (IPv4Address("TCP", "127.0.0.2", 8080), ("127.0.0.2", 8080)),
    ],
)
def test_the_server_asks_where_it_listens(health, reactor, listening, asked):
    health._watch._listener.ports = [Port(listening)]
    reactor.advance(1)
    assert reactor.tcpClients[-1][:2] == asked


def test_unix_sockets_are_asked(health, reactor):
    health._watch._listener.ports = [Port(UNIXAddress("/run/health.sock"))]
    reactor.advance(1)
    assert reactor.unixClients[-1][0] == b"/run/health.sock"


def test_lameduck_takes_its_time():
    clock = MemoryReactorClock()
    over = []
    Lameduck(5.0, clock).leave().addCallback(over.append)
    clock.advance(4.9)
    assert over == []
    clock.advance(0.2)
    assert over == [None]
