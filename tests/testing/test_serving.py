"""The kit for writers of directives: a Corefile served in the test's own process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import dns.message
import pytest
from hypothesis import given
from twisted.application.service import Service
from twisted.internet.task import deferLater
from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import SILENT, Answer
from k8sdns.cluster.store import Store
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.interfaces import IAuthority
from k8sdns.testing import NoReply, Upstream, serve, strategies

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIP": "10.96.10.1", "ports": [{"port": 80}]},
}
CLUSTER = ". {\n kubernetes cluster.local {\n manifests cluster.yaml\n }\n errors\n}"
FORWARD = ". {\n errors\n forward . 192.0.2.53\n}"


@dataclass(frozen=True)
class Settings:
    """Greets."""

    how: str = argument(kinds.text("HOW"), help="At once, late, never, or with a bug.")


@implementer(IAuthority)
class Greeter:
    word = "greet"

    def __init__(self, how: str, clock: Any) -> None:
        self._how, self._clock = how, clock

    def answer(self, question: Any) -> Any:
        found = Answer((records.address(question.qname, "192.0.2.1", 5),), source=self.word)
        if self._how == "late":
            return deferLater(self._clock, 2.0, lambda: found)
        if self._how == "bug":
            raise ZeroDivisionError("a bug")
        return SILENT if self._how == "never" else found


GREET = Directive(
    "greet",
    Settings,
    install=lambda settings, block: block.add(Greeter(settings.how, block.context.clock)),
    follows="whoami",
)


def addresses(reply: Any) -> list[str]:
    return [rdata.to_text() for rrset in reply.answer for rdata in rrset]


@pytest.mark.parametrize("tcp", [False, True])
def test_a_word_is_served_without_being_installed(tcp: bool) -> None:
    with serve(". {\n greet now\n}", directives=[GREET]) as server:
        assert addresses(server.ask("hello.example", tcp=tcp)) == ["192.0.2.1"]


def test_a_mistake_is_told_as_the_command_would() -> None:
    with pytest.raises(CorefileError, match=r"^Corefile:2 - .*did you mean 'greet'"):
        serve(". {\n greeet now\n}", directives=[GREET])


def test_an_answer_that_takes_time_comes_when_time_passes() -> None:
    with serve(". {\n greet late\n}", directives=[GREET]) as server:
        with pytest.raises(NoReply, match="advance"):
            server.ask("hello.example")
        exchange = server.send(query("hello.example"))
        server.advance(1.9)
        assert not exchange.is_over
        server.advance(0.2)
        assert addresses(exchange.reply) == ["192.0.2.1"]


def query(name: str) -> Any:
    return dns.message.make_query(name, "A")


def test_silence_is_no_reply() -> None:
    with serve(". {\n greet never\n}", directives=[GREET]) as server:
        with pytest.raises(NoReply, match="was sent"):
            server.ask("hello.example")
        assert server.send(query("hello.example")).is_over


def test_a_bug_is_a_servfail_and_a_log_line() -> None:
    with serve(". {\n errors\n greet bug\n}", directives=[GREET]) as server:
        assert server.ask("hello.example").rcode() == 2
        assert any("Recovered from a bug" in line for line in server.lines)
        assert server.total("coredns_panics_total") == 1


@pytest.mark.parametrize("cluster", [SERVICE, [SERVICE], json.dumps(SERVICE)])
def test_a_cluster_is_a_dict_several_or_a_text(cluster: Any) -> None:
    with serve(CLUSTER, cluster=cluster) as server:
        assert addresses(server.ask("web.shop.svc.cluster.local")) == ["10.96.10.1"]


def test_a_cluster_changes_when_its_file_is_written() -> None:
    with serve(CLUSTER, cluster=SERVICE) as server:
        changed = SERVICE | {"spec": {"clusterIP": "10.96.10.2", "ports": [{"port": 80}]}}
        server.write("cluster.yaml", changed)
        server.advance(1)
        assert addresses(server.ask("web.shop.svc.cluster.local")) == ["10.96.10.2"]


def test_upstreams_answer_what_they_were_given() -> None:
    upstream = Upstream("www.example.org. 60 A 192.0.2.80")
    with serve(FORWARD, upstreams={"192.0.2.53": upstream}) as server:
        assert addresses(server.ask("www.example.org")) == ["192.0.2.80"]
        assert server.ask("www.example.org", "TXT").rcode() == 0
        assert server.ask("gone.example.org").rcode() == 3
    assert upstream.asked[0] == ("udp", "www.example.org.", "A")
    assert len(upstream.asked) == 3


def test_a_silent_upstream_is_waited_for_in_the_tests_time() -> None:
    with serve(FORWARD, upstreams={"192.0.2.53": Upstream(is_silent=True)}) as server:
        exchange = server.send(query("www.example.org"))
        assert not exchange.is_over
        server.advance(10)
        assert exchange.reply is not None
        assert exchange.reply.rcode() == 2


def test_relative_paths_start_among_the_files() -> None:
    files = {"etc/hosts": "192.0.2.7 www.example.org\n"}
    with serve(". {\n root etc\n hosts hosts\n}", files=files) as server:
        assert addresses(server.ask("www.example.org")) == ["192.0.2.7"]


STOCK = """.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests cluster.yaml
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus :9153
    forward . 192.0.2.53
    cache 30
    loop
    reload
    loadbalance
}"""


def test_a_stock_corefile_is_served_without_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.bind", lambda *_: pytest.fail("a socket was bound"))
    upstream = Upstream("www.example.org. 60 A 192.0.2.80")
    with serve(STOCK, cluster=SERVICE, upstreams={"192.0.2.53": upstream}) as server:
        server.advance(60)
        assert addresses(server.ask("web.shop.svc.cluster.local")) == ["10.96.10.1"]
        assert addresses(server.ask("www.example.org")) == ["192.0.2.80"]
        assert server.total("coredns_dns_requests_total") == 2
        assert server.halted == []


def test_a_service_that_cannot_start_is_told() -> None:
    class Broken(Service):
        def startService(self) -> None:
            raise ConfigurationError("no")

    def install(_settings: Settings, block: Any) -> None:
        block.context.share.take("broken", Broken)

    broken = Directive("broken", Settings, install=install, follows="whoami")
    with pytest.raises(ConfigurationError, match="no"):
        serve(". {\n broken x\n whoami\n}", directives=[broken])


def test_nothing_is_left_behind() -> None:
    with serve(". {\n whoami\n}", files={"a": "b"}) as server:
        assert (server.folder / "a").exists()
    assert not server.folder.exists()


@given(strategies.clusters())
def test_a_cluster_that_is_drawn_fits_a_store(things: Any) -> None:
    store = Store(lambda: 1.0)
    for thing in things:
        store.upsert(thing)
    assert store.objects("services") >= 1
