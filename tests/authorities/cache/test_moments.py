"""A cached reply may be given again for a moment: never past its time, and every hit counts."""

from __future__ import annotations

from typing import Any

import dns.message
from hypothesis import given, strategies as st
from twisted.internet.task import Clock

from k8sdns import metrics as table, names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.cache.moments import MOMENT_SECONDS
from k8sdns.authorities.cache.service import CacheService
from k8sdns.authorities.cache.settings import CacheSettings, Prefetch
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server

TTL = 8


class Upstream(Authority):
    """Answers with another address each time it is asked."""

    word = "forward"

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def answer(self, question: Question) -> Answer:
        self.asked += 1
        address = records.address(question.qname, f"192.0.2.{self.asked % 250}", TTL)
        return Answer((address,), ra=True, source=self.word)


def serve(clock: Clock, **settings: Any) -> tuple[Upstream, Server, Metrics]:
    upstream, metrics = Upstream(), Metrics()
    service = CacheService(CacheSettings(**settings), clock, metrics, "dns://:53")
    service.startService()
    block = ServerBlock([service.wrap(upstream)], metrics.counter(PANICS), ["cache", "forward"])
    return upstream, Server(Router([Route(names.ROOT, block)]), clock, metrics), metrics


QUERY = dns.message.make_query("www.example.org", "A").to_wire()


def ask(responder: Any) -> tuple[str, int]:
    wire = responder.respond(QUERY, ("192.0.2.9", 5), ("127.0.0.1", 53))
    found = dns.message.from_wire(wire).answer[0]
    return found[0].address, found.ttl


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 5)), max_size=12))
def test_repeated_or_not_a_cached_reply_says_the_same(steps: list[tuple[float, int]]) -> None:
    """The address of a server that never repeats, and a TTL at most a second older."""
    clocks = Clock(), Clock()
    repeating, plain = (serve(clock)[1] for clock in clocks)
    repeater = repeating.repeater()
    for seconds, times in steps:
        for clock in clocks:
            clock.pump([seconds / 4] * 4)
        for _ in range(times):
            address, ttl = ask(repeater)
            same_address, same_ttl = ask(plain)
            assert address == same_address
            assert same_ttl <= ttl <= same_ttl + 1


def test_hits_that_were_repeated_are_counted() -> None:
    upstream, server, metrics = serve(Clock())
    repeater = server.repeater()
    for _ in range(20):
        ask(repeater)
    server.tell_observers()
    metrics.refresh()
    assert upstream.asked == 1
    assert metrics.counter(table.CACHE_HITS)["dns://:53", "success", ".", ""] == 19
    assert metrics.counter(table.CACHE_REQUESTS)["dns://:53", ".", ""] == 20


def test_what_is_about_to_expire_is_not_repeated() -> None:
    clock = Clock()
    upstream, server, _metrics = serve(clock)
    repeater = server.repeater()
    ask(repeater)
    clock.advance(TTL - MOMENT_SECONDS / 2)
    for _ in range(3):
        ask(repeater)
    assert server.queries == 4
    clock.advance(MOMENT_SECONDS)
    ask(repeater)
    assert upstream.asked == 2


def test_prefetching_sees_every_hit() -> None:
    _upstream, server, _metrics = serve(Clock(), prefetch=Prefetch(amount=3))
    repeater = server.repeater()
    for _ in range(5):
        ask(repeater)
    assert server.queries == 5
