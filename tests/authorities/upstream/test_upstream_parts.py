"""The small parts of the way out: destinations, resolv.conf, time limits, sockets, policies."""

from __future__ import annotations

import collections
import random

import pytest
from twisted.internet.task import Clock

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.authorities.upstream.destination import BadDestination, Destination, parse
from k8sdns.authorities.upstream.destinations import target, targets
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.hostnames import HostName
from k8sdns.authorities.upstream.network import ephemeral_ports
from k8sdns.authorities.upstream.policies import policy_named
from k8sdns.authorities.upstream.query import query_of
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.resolvconf import Watch, parse as parse_resolv_conf
from k8sdns.authorities.upstream.upstream import Surroundings, Upstream
from k8sdns.authorities.upstream.waitlist import Waitlist
from k8sdns.testing.conversation import reply_to
from k8sdns.testing.network import FakeNetwork, FakeReactor


@pytest.mark.parametrize(
    ("text", "destination", "label"),
    [
        ("192.0.2.1", Destination("192.0.2.1", 53), "192.0.2.1:53"),
        ("192.0.2.1:5353", Destination("192.0.2.1", 5353), "192.0.2.1:5353"),
        ("dns://192.0.2.1", Destination("192.0.2.1", 53), "192.0.2.1:53"),
        ("2001:DB8::2", Destination("2001:db8::2", 53), "[2001:db8::2]:53"),
        ("[2001:db8::1]:54", Destination("2001:db8::1", 54), "[2001:db8::1]:54"),
        ("fe80::1%eth0", Destination("fe80::1%eth0", 53), "[fe80::1%eth0]:53"),
        ("tls://192.0.2.1", Destination("192.0.2.1", 853, "tls"), "192.0.2.1:853"),
        ("tls://192.0.2.1%a.b", Destination("192.0.2.1", 853, "tls", "a.b"), "192.0.2.1:853"),
        ("tls://192.0.2.1%a.b:54", Destination("192.0.2.1", 54, "tls", "a.b"), "192.0.2.1:54"),
        ("tls://[2001:db8::1]:54", Destination("2001:db8::1", 54, "tls"), "[2001:db8::1]:54"),
    ],
)
def test_a_destination_is_read(text, destination, label):
    assert parse(text) == destination
    assert str(destination) == label


@pytest.mark.parametrize(
    "text", ["/etc/resolv.conf", "dns.example", "dns.example:53", "resolv", "tls://dns.example"]
)
def test_what_is_no_address_is_left_to_others(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("grpc://192.0.2.1", "'grpc' is not supported as a destination protocol"),
        ("quic://192.0.2.1", "'quic' is not supported as a destination protocol"),
        ("https://192.0.2.1/dns-query", "'https' is not supported as a destination protocol"),
        ("unix:///run/dns", "'unix' is not supported"),
        ("ftp://192.0.2.1", "unknown destination protocol"),
        ("192.0.2.1:0", "no port between 1 and 65535"),
        ("192.0.2.1:70000", "no port between 1 and 65535"),
        ("[2001:db8::1", "is no [address]:port"),
    ],
)
def test_a_bad_destination_says_why(text, says):
    with pytest.raises(BadDestination) as caught:
        parse(text)
    assert says in str(caught.value)


def test_targets_are_unique_in_order_and_bounded(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.9\n")
    words = ["192.0.2.2", str(path), "192.0.2.2", "192.0.2.1"]
    found = targets([target(word, word) for word in words])
    assert [each.host for each in found.upstreams(found.read())] == [
        "192.0.2.2",
        "192.0.2.1",
        "192.0.2.9",
    ]
    assert found.paths == (str(path),)
    with pytest.raises(BadDestination, match="more than 15 TOs configured: 16"):
        targets([Destination(f"192.0.2.{n}", 53) for n in range(16)])


def test_a_file_that_names_nobody_is_no_upstream(tmp_path):
    path = tmp_path / "empty"
    path.write_text("search example.com\n")
    with pytest.raises(BadDestination, match="no valid upstream addresses found"):
        targets([str(path)])


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("dns.example", HostName("dns.example", 53)),
        ("dns.example.:5353", HostName("dns.example.", 5353)),
        ("dns://my_dns.svc", HostName("my_dns.svc", 53)),
        ("tls://dns.example", HostName("dns.example", 853, "tls")),
        ("tls://dns.example:54", HostName("dns.example", 54, "tls")),
        ("tls://dns.example%a.b:54", HostName("dns.example", 54, "tls", "a.b")),
    ],
)
def test_a_host_name_is_read_where_it_may_stand(text, host):
    assert target(text, f"/nonexistent/{text}", takes_host_names=True) == host
    with pytest.raises(BadDestination, match="not an IP address or file"):
        target(text, f"/nonexistent/{text}")


@pytest.mark.parametrize(
    "text", ["10.0.0.300", "dns..example", "-dns.example", "/etc/resolv.conf", "a b", "x" * 64, ""]
)
def test_what_is_no_host_name_either_is_refused(text):
    with pytest.raises(BadDestination, match="not an IP address, file, or valid domain"):
        target(text, "/nonexistent", takes_host_names=True)


def test_words_keep_their_order_whatever_is_behind_them(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    host = HostName("dns.example", 53)
    found = targets([str(path), host, Destination("192.0.2.9", 53), str(path)])
    upstreams = found.upstreams(found.read(), {host: [host.at("192.0.2.5"), host.at("192.0.2.1")]})
    assert [each.host[-1] for each in upstreams] == ["1", "2", "5", "9"]


def test_resolv_conf_is_read_by_its_rules():
    found = parse_resolv_conf(
        "; a comment\n#another\nnameserver 192.0.2.1\nnameserver\tfe80::1%eth0\n"
        "nameserver example.com\nsearch a b\noptions ndots:5 timeout:3 attempts:9\n"
        "options rotate edns0 timeout:x\nnameserver 192.0.2.1\nbogus\n"
    )
    assert [each.host for each in found.servers] == ["192.0.2.1", "fe80::1%eth0"]
    assert (found.timeout, found.attempts, found.rotate) == (3, 5, True)


def test_a_watched_file_is_read_when_it_changes_only(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1")
    told: list[object] = []
    complaints: list[str] = []
    versions = iter([1, 1, 2, 3, 4])
    watch = Watch((str(path),), lambda _paths: next(versions), told.append, complaints.append)
    watch.look()
    assert told == []
    path.write_text("nameserver 192.0.2.2")
    watch.look()
    assert [server.host for server in told[0].servers] == ["192.0.2.2"]
    path.write_text("")
    watch.look()
    path.unlink()
    watch.look()
    assert len(told) == 1
    assert len(complaints) == 2


class Waiter:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def timed_out(self):
        self.log.append(self.name)


def test_a_waitlist_expires_in_order_with_one_timer():
    clock, log = Clock(), []
    waitlist = Waitlist(clock, 2.0)
    waiters = [Waiter(log, n) for n in range(100)]
    for waiter in waiters[:50]:
        waitlist.add(waiter)
    clock.advance(1)
    for waiter in waiters[50:]:
        waitlist.add(waiter)
    waitlist.remove(waiters[3])
    waitlist.add(waiters[4])
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1)
    assert log == [n for n in range(50) if n not in (3, 4)]
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(1)
    assert log[48:] == [*range(50, 100), 4]
    assert not clock.getDelayedCalls()
    assert len(waitlist) == 0


def test_one_that_expires_may_take_another_off_the_list():
    clock, log = Clock(), []
    waitlist = Waitlist(clock, 1.0)
    second = Waiter(log, "second")

    class First:
        def timed_out(self):
            waitlist.remove(second)

    waitlist.add(First())
    waitlist.add(second)
    clock.advance(1)
    assert log == []


def test_random_numbers_cover_their_range():
    randomness = Randomness()
    assert {randomness.below(4) for _ in range(400)} == {0, 1, 2, 3}
    assert all(0 <= randomness.number() < 65536 for _ in range(5000))


class Sink:
    def __init__(self):
        self.outcomes = []

    def ended(self, _attempt, outcome):
        self.outcomes.append(outcome)


def upstream():
    reactor = FakeReactor()
    network = FakeNetwork(reactor)
    around = Surroundings(reactor, network, Randomness())
    return Upstream(Destination("192.0.2.1", 53), around), network, reactor


def query(number):
    return query_of(Question(names.from_text(f"n{number}.example")))


def test_a_busy_upstream_is_asked_from_256_sockets_and_a_quiet_one_from_few():
    server, network, reactor = upstream()
    for number in range(1000):
        server.ask(query(number), Sink())
    assert len(server.datagrams) == 256
    used = collections.Counter(id(sent.source) for sent in network.sent)
    assert len(used) == 256
    reactor.pump([1] * 12)
    assert len(server.datagrams) == 0
    assert all(sock.is_closed for sock in network.sockets)
    for number in range(30):
        server.ask(query(number), Sink())
        reactor.advance(1)
    assert len(server.datagrams) <= 5


def test_ids_are_not_reused_while_a_reply_may_still_come():
    server, network, _reactor = upstream()
    for number in range(3000):
        server.ask(query(number), Sink())
    seen = {(id(sent.source), sent.message[:2]) for sent in network.sent}
    assert len(seen) == 3000


def test_sockets_are_retired_by_age_though_busy():
    server, network, reactor = upstream()
    first = None
    for number in range(40):
        server.ask(query(number), Sink())
        first = first or network.sockets[0]
        reactor.advance(1)
    assert first.is_closed


def test_a_failure_names_upstream_transport_phase_and_time():
    server, _network, reactor = upstream()
    sink = Sink()
    server.ask(query(1), sink)
    reactor.advance(2.0)
    (failure,) = sink.outcomes
    assert isinstance(failure, UpstreamFailure)
    assert str(failure) == "upstream 192.0.2.1:53 over udp: i/o timeout (wait, after 2.000s)"
    assert server.in_flight == 0


def test_the_kernels_ports_are_known():
    first, last = ephemeral_ports()
    assert 1024 <= first < last <= 65535


class Loaded:
    def __init__(self, in_flight):
        self.in_flight = in_flight


def test_policies_give_everybody_once():
    members = [Loaded(n) for n in (2, 0, 1)]
    for name in ("random", "round_robin", "sequential", "first", "least_conn"):
        order = policy_named(name, random.Random(1))
        for _ in range(5):
            assert sorted(each.in_flight for each in order(members)) == [0, 1, 2]
    assert [each.in_flight for each in policy_named("least_conn", random.Random(1))(members)] == [
        0, 1, 2,
    ]  # fmt: skip
    with pytest.raises(KeyError):
        policy_named("fastest", random.Random(1))


def test_a_connection_whose_ids_are_taken_gets_no_more_queries(monkeypatch):
    """An id stays taken where no reply came; with all of them taken none would be found."""
    monkeypatch.setattr("k8sdns.authorities.upstream.stream.MAX_IDS", 4)
    server, network, reactor = upstream()
    for number in range(6):
        server.ask(query(2 * number), Sink(), over_stream=True)
        server.ask(query(2 * number + 1), Sink(), over_stream=True)
        _unanswered, sent = network.sent.popleft(), network.sent.popleft()
        sent.source.deliver(reply_to(sent.message, {"rcode": "NXDOMAIN"}))
        reactor.pump([1.0] * 3)
    assert server.streams.opened >= 2
    assert server.in_flight == 0
