"""Faults: answers that are none, and connections that break at any byte."""

from __future__ import annotations

import pytest
from twisted.internet import error
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.web.client import ResponseFailed

from k8sdns.testing.apiserver import ApiError, FakeApiServer, Fault

LIST = "/api/v1/services"
WATCH = LIST + "?watch=1&resourceVersion=1"


class Raw(Protocol):
    """Sends a request and keeps every octet that comes back."""

    def __init__(self, path):
        self.path = path
        self.octets = b""
        self.ended = None

    def connectionMade(self):
        self.transport.write(b"GET " + self.path.encode() + b" HTTP/1.1\r\nHost: api\r\n\r\n")

    def dataReceived(self, data):
        self.octets += data

    def connectionLost(self, reason):
        self.ended = reason.type


@pytest.fixture
def raw(clock, server):
    def connect(path, endpoint=None):
        protocol = Raw(path)
        waiting = (endpoint or server.endpoint()).connect(Factory.forProtocol(lambda: protocol))
        waiting.addErrback(lambda failure: setattr(protocol, "ended", failure.type))
        clock.advance(0)
        return protocol

    return connect


def test_a_fault_happens_as_often_as_it_says(server, ask):
    server.faults.too_many_requests(retry_after=7, times=2)
    replies = [ask(LIST) for _ in range(3)]
    assert [reply.code for reply in replies] == [429, 429, 200]
    assert replies[0].header("retry-after") == "7"
    assert replies[0].json["details"] == {"retryAfterSeconds": 7}


def test_a_fault_waits_for_its_verb_and_resource(server, ask):
    server.faults.unavailable(verb="watch", resource="pods")
    assert ask(LIST).code == 200
    assert ask("/api/v1/pods").code == 200
    assert ask("/api/v1/pods?watch=1").code == 503
    assert ask("/api/v1/pods").code == 200


def test_a_load_balancers_page_is_html(server, ask):
    server.faults.bad_gateway()
    reply = ask(LIST)
    assert (reply.code, reply.header("content-type")) == (502, "text/html")
    assert reply.body.octets.startswith(b"<html>")


def test_faults_can_be_cleared(server, ask):
    server.faults.unavailable(times=None)
    assert [ask(LIST).code, ask(LIST).code] == [503, 503]
    server.faults.clear()
    assert ask(LIST).code == 200


@pytest.mark.parametrize(
    ("how", "ended"), [("reset", error.ConnectionLost), ("close", error.ConnectionDone)]
)
def test_a_response_can_be_cut_after_every_octet(server, raw, service, how, ended):
    server.apply(service("web"))
    complete = raw(LIST).octets
    for after in range(len(complete)):
        server.faults.cut(after, how)
        broken = raw(LIST)
        assert (len(broken.octets), broken.ended) == (after, ended)
    assert complete.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_half_open_connection_is_silent_and_stays(clock, server, raw, service):
    server.faults.half_open(after=100)
    silent = raw(WATCH)
    server.apply(service("web"))
    clock.advance(3600)
    assert (len(silent.octets), silent.ended) == (100, None)


def test_a_dripping_response_comes_one_octet_at_a_time(clock, server, raw):
    server.faults.drip(2.0)
    slow = raw(LIST)
    for number in range(1, 20):
        clock.advance(0.5)
        clock.advance(0)
        assert len(slow.octets) == number


def test_headers_can_be_late(clock, server, raw):
    server.faults.delay(30.0)
    slow = raw(LIST)
    clock.advance(29)
    assert slow.octets == b""
    clock.advance(1)
    clock.advance(0)
    assert slow.octets.startswith(b"HTTP/1.1 200 OK")


def test_connection_close_is_said_and_done(server, raw):
    assert raw(LIST).ended is None
    server.faults.connection_close()
    closed = raw(LIST)
    assert b"connection: close\r\n" in closed.octets.lower()
    assert closed.ended is error.ConnectionDone


@pytest.mark.parametrize("how", ["reset", "close"])
def test_watches_break_off_in_the_middle(clock, server, ask, how):
    reply = ask(WATCH)
    server.open_watches()[0].stream.raw(b'{"type":"ADD')
    assert server.disconnect(how) == 1
    clock.advance(0)
    assert reply.body.octets == b'{"type":"ADD'
    assert reply.body.ended is ResponseFailed
    assert server.open_watches() == []


def test_watches_end_with_an_error_event(clock, server, ask):
    reply = ask(WATCH)
    server.open_watches()[0].stream.fail(ApiError(500, "InternalError", "etcdserver: no leader"))
    clock.advance(0)
    ((kind, status),) = reply.events
    assert (kind, status["message"]) == ("ERROR", "etcdserver: no leader")


def test_connections_are_refused_until_they_are_accepted_again(server, raw):
    server.refuse()
    assert raw(LIST).ended is error.ConnectionRefusedError
    server.accept()
    assert raw(LIST).octets.startswith(b"HTTP/1.1 200")


def test_a_crash_ends_every_connection(clock, server, raw):
    idle, watching = raw(LIST), raw(WATCH)
    server.crash()
    clock.advance(0)
    assert (idle.ended, watching.ended) == (error.ConnectionLost, error.ConnectionLost)
    assert raw(LIST).ended is error.ConnectionRefusedError
    assert server.open_watches() == []


def test_a_restored_server_is_behind_its_clients(server, ask, service):
    server.apply(service("kept"))
    backup = server.revision
    server.apply(service("lost"))
    server.delete("Service", "shop", "kept")
    ahead = server.revision
    server.rewind(backup)
    assert [thing["metadata"]["name"] for thing in server.objects("Service")] == ["kept"]
    assert server.revision == backup
    assert ask(f"{LIST}?resourceVersion={ahead}").code == 504


def test_a_port_is_closed_and_opened_again(service):
    reactor = MemoryReactorClock()
    server = FakeApiServer(reactor)
    server.listen(6443)
    assert server.url == "http://127.0.0.1:6443"
    server.refuse()
    server.accept()
    server.accept()
    assert [listening[0] for listening in reactor.tcpServers] == [6443, 6443]


def test_what_arrives_can_be_cut_anywhere(server, raw, service):
    server.apply(service("web"))
    complete = raw(WATCH).octets

    def octet_by_octet(octets):
        return [octets[at : at + 1] for at in range(len(octets))]

    pieces = raw(WATCH, server.endpoint(cut=octet_by_octet))
    assert pieces.octets == complete


def test_a_slow_reader_of_a_watch_is_let_go(server, raw, service, monkeypatch):
    from k8sdns.testing.apiserver import responses

    monkeypatch.setattr(responses, "BACKLOG_LIMIT", 2000)
    reader = raw(WATCH)
    (watch,) = server.open_watches()
    watch.pauseProducing()
    for number in range(10):
        server.apply(service(f"s{number}"))
    assert server.open_watches() == []
    assert reader.ended is None or reader.octets


def test_a_fault_may_be_any_answer(server, ask):
    server.faults.add(Fault(code=418, body=b"teapot", headers={"X-Pot": "tea"}))
    reply = ask(LIST)
    assert (reply.code, reply.body.octets, reply.header("x-pot")) == (418, b"teapot", "tea")
