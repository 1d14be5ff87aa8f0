"""Reloads leave nothing behind: neither those that work nor those that fail."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from k8sdns import assemble, directives, plan as plans
from k8sdns.corefile.source import CorefileText
from k8sdns.metrics import Metrics
from k8sdns.running import Generation, Running
from k8sdns.server.draft import Context
from k8sdns.server.listeners import ListenKey
from k8sdns.testing.network import FakeReactor

COREFILE = """.:0 {
    bind 127.0.0.1
    errors
    log
    health 127.0.0.1:0
    ready 127.0.0.1:0
    hosts {
        192.0.2.1 gateway.example.org
        fallthrough
    }
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests CLUSTER
        pods verified
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus 127.0.0.1:0
    forward . 127.0.0.1:9
    cache 30
    loop
    loadbalance
}
"""
CLUSTER = """apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.10.1, ports: [{port: 80}]}
"""
WARM_UP, ROUNDS = 5, 30


class Listening:
    def stopListening(self) -> None: ...

    def getHost(self) -> Any: ...


class Reactor(FakeReactor):
    """A clock to which sockets can be given; nothing ever arrives."""

    def adoptStreamPort(self, _fileno: int, _family: Any, _factory: Any) -> Listening:
        return Listening()

    def callInThread(self, call: Any, *arguments: Any) -> None:
        call(*arguments)


class Server:
    """A server in this process, and whatever it knows how to reload."""

    def __init__(self, folder: Path) -> None:
        (folder / "cluster.yaml").write_text(CLUSTER)
        self.reactor = Reactor()
        self.metrics = Metrics()
        text = COREFILE.replace("CLUSTER", str(folder / "cluster.yaml"))
        source = CorefileText(text, "Corefile", None)
        self.plan = plans.plan(
            source, directives.discovered(), default_port=53, environ={}, folder=str(folder)
        )
        self.running = Running(self.reactor, self.metrics, self.generate)
        self.running.privileged_start()
        self.settle(self.running.start())

    def generate(self, share: Any) -> Generation:
        context = Context(self.reactor, self.reactor, self.metrics, share, print, self.plan)
        return assemble.generate(self.plan, context)

    def reload(self, generate: Any = None, agreed: Any = None) -> list[Failure]:
        failures: list[Failure] = []
        generate = generate or self.generate
        reloaded = Deferred.fromCoroutine(self.running.reload(generate, agreed))
        self.settle(reloaded.addErrback(failures.append))
        return failures

    def settle(self, waiting: Deferred[Any]) -> None:
        done: list[Any] = []
        waiting.addCallback(done.append)
        for _ in range(200):
            if done:
                return
            self.reactor.advance(0.1)
        raise AssertionError("it takes too long")

    def left(self) -> Counter[str]:
        """Return how many objects of ours there are, by class, and what waits where."""
        gc.collect()
        ours = (type(each) for each in gc.get_objects())
        found = Counter(
            kind.__qualname__ for kind in ours if str(kind.__module__).startswith("k8sdns")
        )
        found["before scrape"] = len(self.metrics._before_scrape)
        found["delayed calls"] = len(self.reactor.getDelayedCalls())
        found["readers"] = len(self.reactor.readers)
        return found


def works(server: Server) -> None:
    assert not server.reload()


def others_refuse(server: Server) -> None:
    def refuse() -> Deferred[None]:
        raise RuntimeError("others could not prepare")

    assert server.reload(agreed=refuse)


def nothing_can_be_bound(server: Server) -> None:
    def generate(share: Any) -> Generation:
        generation = server.generate(share)
        (answers,) = generation.servers.values()
        return generation._replace(servers={ListenKey("dns", "192.0.2.1", 1): answers})

    assert server.reload(generate)


@pytest.mark.parametrize("step", [works, others_refuse, nothing_can_be_bound])
def test_reloads_leave_nothing_behind(tmp_path: Path, step: Callable[[Server], None]) -> None:
    server = Server(tmp_path)
    for _ in range(WARM_UP):
        step(server)
    before = server.left()
    for _ in range(ROUNDS):
        step(server)
    more = {
        kind: count - before[kind]
        for kind, count in server.left().items()
        if count - before[kind] >= ROUNDS // 2
    }
    server.settle(server.running.stop())
    assert more == {}


@pytest.mark.parametrize("cancelled", [Deferred, lambda: Deferred(lambda d: d.callback(None))])
def test_a_server_that_ends_gives_up_what_it_prepares(
    tmp_path: Path, cancelled: Callable[[], Deferred[None]]
) -> None:
    """Others prepare for ever; they may or may not take notice of being cancelled."""
    server = Server(tmp_path)
    made: list[Generation] = []
    failures: list[Failure] = []

    def generate(share: Any) -> Generation:
        made.append(server.generate(share))
        return made[-1]

    reloaded = Deferred.fromCoroutine(server.running.reload(generate, cancelled))
    reloaded.addErrback(failures.append)
    for _ in range(20):
        server.reactor.advance(0.1)
    assert any(service.running for service in made[0].services)
    assert not failures
    server.settle(server.running.stop())
    assert [each.getErrorMessage() for each in failures] == ["the server is ending"]
    assert not any(service.running for service in made[0].services)
