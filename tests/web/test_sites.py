"""The listeners of pages: which page answers, and what a client cannot do to them."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.web.resource import Resource

from k8sdns.corefile.kinds import Listen
from k8sdns.errors import ConfigurationError
from k8sdns.web import sites
from k8sdns.web.sites import Pages, PageSite, Placed, WebListener, listener_at


class Says(Resource):
    isLeaf = True

    def __init__(self, words: bytes) -> None:
        super().__init__()
        self.words = words

    def render_GET(self, request):
        return self.words


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def site(clock):
    pages = Pages()
    pages.put(b"/health", Says(b"OK"))
    return PageSite(pages, clock)


def test_a_path_leads_to_its_page_and_others_nowhere(site, connect):
    found, lost = connect(site), connect(site)
    found.get("/health")
    lost.get("/healthy")
    assert (found.reply().status, found.reply().body) == (200, b"OK")
    assert "server" not in found.reply().headers
    assert lost.reply().status == 404


def test_the_oldest_owner_of_a_path_answers_until_it_leaves():
    """A reload that is being prepared, and may fail, does not answer yet."""
    listener = WebListener(Listen("", 0), MemoryReactorClock(), lambda _host, _port: [])
    old, new = Says(b"old"), Says(b"new")
    first = Placed(listener, {b"/ready": old})
    second = Placed(listener, {b"/ready": new})
    first.startService()
    second.startService()
    assert listener.pages._pages[b"/ready"][0] is old
    first.stopService()
    assert listener.pages._pages[b"/ready"][0] is new
    second.stopService()
    assert len(listener.pages) == 0


def test_a_connection_that_says_nothing_is_closed(site, connect, clock):
    silent = connect(site)
    clock.advance(sites.TIMEOUT - 0.1)
    assert not silent.is_closed
    clock.advance(0.2)
    assert silent.is_closed


def test_too_many_connections_cost_the_oldest_theirs(site, connect, monkeypatch):
    monkeypatch.setattr(sites, "MAX_CONNECTIONS", 3)
    first, *others = [connect(site) for _ in range(4)]
    assert first.is_closed
    assert not any(each.is_closed for each in others)
    others[-1].get("/health")
    assert others[-1].reply().status == 200


def test_a_request_with_endless_headers_is_refused(site, connect):
    client = connect(site)
    client.channel.dataReceived(b"GET /health HTTP/1.1\r\n")
    for _ in range(200):
        if not client.is_closed:
            client.channel.dataReceived(b"X-More: " + b"x" * 100 + b"\r\n")
    assert client.is_closed
    assert client.reply().status == 400


def test_a_body_is_not_kept(site, connect):
    client = connect(site)
    head = b"GET /health HTTP/1.1\r\nHost: dns\r\nContent-Length: 1000000\r\n\r\n"
    client.channel.dataReceived(head)
    request = client.channel.requests[0]
    client.channel.dataReceived(b"x" * 500_000)
    assert request.content.getvalue() == b""
    client.channel.dataReceived(b"x" * 500_000)
    assert client.reply().status == 200


class OneShare:
    def __init__(self) -> None:
        self.things: dict = {}

    def take(self, key, make):
        return self.things.setdefault(key, make())


class Surroundings:
    def __init__(self) -> None:
        self.share = OneShare()
        self.reactor = MemoryReactorClock()
        self.role = "alone"


def test_directives_with_one_address_share_a_listener():
    context = Surroundings()

    def nothing(_host, _port):
        return []

    first = listener_at(Listen("", 8080), context, nothing)
    assert listener_at(Listen("", 8080), context, nothing) is first
    assert listener_at(Listen("", 8081), context, nothing) is not first


def refuse(_host, _port):
    raise ConfigurationError("cannot listen on tcp 0.0.0.0:8080: Address already in use")


def test_a_page_that_is_needed_keeps_the_server_from_starting():
    listener = WebListener(Listen("", 8080), MemoryReactorClock(), refuse)
    listener.needed_by = "health"
    found = []
    listener.startService().addErrback(lambda failure: found.append(failure.value))
    assert str(found[0]) == (
        "plugin/health: cannot listen on tcp 0.0.0.0:8080: Address already in use"
    )


def test_a_page_that_is_not_needed_is_tried_again_by_the_next_reload():
    listener = WebListener(Listen("", 8080), MemoryReactorClock(), refuse)
    listener.startService()
    assert not listener.running
    listener._open_streams = lambda _host, _port: []
    listener.startService()
    assert listener.running


def test_twisted_endpoints_are_listened_on():
    reactor = MemoryReactorClock()
    listener = WebListener(Listen("", 0, "tcp:8080:interface=127.0.0.1"), reactor, refuse)
    listener.startService()
    (port, *_others) = reactor.tcpServers
    assert (port[0], port[3]) == (8080, "127.0.0.1")
