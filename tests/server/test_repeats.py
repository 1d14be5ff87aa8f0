"""Replies given again: the same as asking, never older than the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.message
import pytest
from hypothesis import given, strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Port, Service
from k8sdns.cluster.store import Store
from k8sdns.interfaces import (
    IAuthority,
    IObserver,
    IRepeatable,
    IRepeatObserver,
    IRotation,
    IRouting,
    IStage,
)
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.repeats import FORGOTTEN_A_STEP, MAX_REPLIES, MAX_SIGHTINGS, Repeater
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server

CLIENT = ("192.0.2.9", 4321)
LOCAL = ("127.0.0.1", 53)


@implementer(IRepeatable)
class Counting:
    """An authority whose answers are current until it says otherwise; counts its questions."""

    word = repeats_as = "counting"

    def never_answers(self, _question: Question) -> bool:
        return False

    def __init__(self, addresses: int = 1) -> None:
        self.asked = 0
        self.answers: list[Answer] = []
        self._addresses = addresses

    def answer(self, question: Question) -> Answer:
        self.asked += 1
        found = (records.address(question.qname, f"192.0.2.{n}", 5) for n in range(self._addresses))
        answer = Answer(tuple(found), source=self.word)
        answer.is_current = True
        self.answers.append(answer)
        return answer


def serve(*things: Any) -> Server:
    metrics = Metrics()
    block = ServerBlock(things, metrics.counter(PANICS), ["counting"])
    return Server(Router([Route(names.ROOT, block)]), Clock(), metrics)


def ask(repeater: Repeater, name: str = "www.example.org", **kwargs: Any) -> bytes:
    query = dns.message.make_query(name, "A", **kwargs)
    reply = repeater.respond(query.to_wire(), CLIENT, LOCAL)
    assert isinstance(reply, bytes)
    parsed = dns.message.from_wire(reply)
    assert query.is_response(parsed)
    return reply[2:]


def test_what_is_asked_again_is_not_asked_of_the_server() -> None:
    authority = Counting()
    repeater = serve(authority).repeater()
    replies = {ask(repeater) for _ in range(10)}
    assert len(replies) == 1
    assert authority.asked == 2


def test_a_server_that_is_over_remembers_nothing_and_goes_on_answering() -> None:
    authority = Counting()
    server = serve(authority)
    repeater = server.repeater()
    for _ in range(3):
        ask(repeater)
    assert authority.asked == 2
    list(server.forgetting_replies())
    ask(repeater)
    assert authority.asked == 3


def test_much_that_is_remembered_is_forgotten_step_by_step() -> None:
    server = serve(Counting())
    repeater = server.repeater()
    for number in range(3 * FORGOTTEN_A_STEP):
        for _ in range(2):
            ask(repeater, f"n{number}.example.org")
    left = [len(repeater._replies) for _ in server.forgetting_replies()]
    assert left == [2 * FORGOTTEN_A_STEP, FORGOTTEN_A_STEP, 0]


def test_an_answer_that_is_no_longer_current_is_asked_anew() -> None:
    authority = Counting()
    repeater = serve(authority).repeater()
    for _ in range(3):
        ask(repeater)
    authority.answers[-1].is_current = False
    ask(repeater)
    assert authority.asked == 3


@pytest.mark.parametrize(
    "kwargs",
    [{"use_edns": 0}, {"use_edns": 0, "payload": 600}, {"use_edns": 0, "want_dnssec": True}],
    ids=["edns", "smaller", "do"],
)
def test_only_equal_queries_are_equal(kwargs: dict[str, Any]) -> None:
    authority = Counting()
    repeater = serve(authority).repeater()
    for _ in range(3):
        ask(repeater)
    ask(repeater, **kwargs)
    assert authority.asked == 3


def test_letters_and_options_of_single_clients_are_not_kept() -> None:
    authority = Counting()
    repeater = serve(authority).repeater()
    cookie = [dns.edns.GenericOption(10, b"12345678")]
    for _ in range(3):
        ask(repeater, "WWW.example.org")
        ask(repeater, use_edns=0, options=cookie)
    assert authority.asked == 6


def test_every_address_still_comes_first() -> None:
    @implementer(IRotation)
    class InTurn:
        turn = 0

        def first(self, _question: Question, _answer: Answer, count: int) -> int:
            self.turn += 1
            return self.turn % count

    authority = Counting(3)
    repeater = serve(authority, InTurn()).repeater()
    replies = [ask(repeater) for _ in range(30)]
    assert authority.asked == 2
    assert len(set(replies)) == 3


@implementer(IStage)
class Stage:
    """A stage that does nothing, and might."""

    def respond(self, question: Question, rest: Any) -> Any:
        return rest(question)


@implementer(IObserver)
class Watcher:
    """An observer that wants to see every question."""

    def saw(self, *_args: Any) -> None: ...


@implementer(IAuthority)
class PassesOn:
    """An authority in front that knows nothing now."""

    word = "hosts"

    def answer(self, _question: Question) -> None: ...


@pytest.mark.parametrize("thing", [Stage(), Watcher(), PassesOn()])
def test_where_something_else_may_have_its_say_nothing_is_repeated(thing: Any) -> None:
    authority = Counting()
    repeater = serve(thing, authority).repeater()
    for _ in range(5):
        ask(repeater)
    assert authority.asked == 5


def test_behind_one_that_never_answers_such_a_name_replies_are_repeated() -> None:
    @implementer(IRepeatable)
    class Elsewhere:
        word = repeats_as = "elsewhere"

        def never_answers(self, question: Question) -> bool:
            return names.is_subdomain(question.qname, names.from_text("example.org"))

        def answer(self, _question: Question) -> None: ...

    authority = Counting()
    repeater = serve(Elsewhere(), authority).repeater()
    for _ in range(5):
        ask(repeater)
    assert authority.asked == 2
    for _ in range(5):
        ask(repeater, "www.example.net")
    assert authority.asked == 7


def test_the_maker_of_an_answer_is_told_of_its_repetitions() -> None:
    told: list[int] = []
    authority = Counting()
    server = serve(authority)
    repeater = server.repeater()
    ask(repeater)
    authority.answers.clear()
    real = authority.answer

    def answer(question: Question) -> Answer:
        made = real(question)
        made.told = told.append
        return made

    authority.answer = answer  # type: ignore[method-assign]
    server.router.routes[0].block.chain._begins = (answer,)
    for _ in range(7):
        ask(repeater)
    server.tell_observers()
    assert sum(told) == 6


@implementer(IRouting)
class Inside:
    """A view for one client."""

    def admits(self, question: Question) -> bool:
        return question.peer.host == "10.0.0.1"


def test_what_one_client_is_told_is_not_repeated_to_one_whom_a_view_takes() -> None:
    metrics, inner, outer = Metrics(), Counting(1), Counting(2)
    blocks = [
        ServerBlock(things, metrics.counter(PANICS), ["counting"])
        for things in ([Inside(), inner], [outer])
    ]
    router = Router([Route(names.ROOT, block) for block in blocks])
    repeater = Server(router, Clock(), metrics).repeater()
    for _ in range(3):
        ask(repeater)
    query = dns.message.make_query("www.example.org", "A").to_wire()
    assert repeater.respond(query, ("10.0.0.1", 4321), LOCAL)
    assert (inner.asked, outer.asked) == (1, 3)


def test_observers_are_told_of_every_repetition() -> None:
    @implementer(IRepeatObserver)
    class Teller:
        seen = 0
        told = 0

        def saw(self, *_args: Any) -> None:
            self.seen += 1

        def tally(self, _q: Question, _a: Answer, _size: int) -> Callable[[int], None]:
            return self.add

        def add(self, count: int) -> None:
            self.told += count

    teller, authority = Teller(), Counting()
    server = serve(teller, authority)
    repeater = server.repeater()
    for _ in range(10):
        ask(repeater)
    assert server.asked == 10
    server.tell_observers()
    assert (teller.seen, teller.told) == (2, 8)
    authority.answers[-1].is_current = False
    server.tell_observers()
    for _ in range(4):
        ask(repeater)
    server.tell_observers()
    assert teller.seen + teller.told == 14
    assert server.asked == 14


def test_a_flood_of_names_costs_a_bounded_memory_and_spares_what_is_asked() -> None:
    authority = Counting()
    repeater = serve(authority).repeater()
    for _ in range(2):
        ask(repeater)
    for n in range(MAX_SIGHTINGS + 10):
        ask(repeater, f"u{n}.example.org")
    before = authority.asked
    ask(repeater)
    assert authority.asked == before
    assert MAX_REPLIES >= MAX_SIGHTINGS


SERVICES = ["a", "b", "c"]
NAMESPACES = ["x", "y"]
changes = st.one_of(
    st.builds(
        lambda n, s, ip: ("up", Service(n, s, "1", "ClusterIP", (f"10.0.0.{ip}",), "", PORTS, ())),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
        st.integers(1, 3),
    ),
    st.builds(
        lambda n, s: ("up", Service(n, s, "1", "ClusterIP", ("None",), "", PORTS, ())),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
    ),
    st.builds(
        lambda n, s, ips: (
            "up",
            EndpointSlice(
                n, f"{s}-1", s, "1", PORTS, tuple(Endpoint(i, "", "", "", "") for i in ips), None
            ),
        ),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
        st.lists(st.sampled_from(["10.1.0.1", "10.1.0.2"]), unique=True),
    ),
    st.builds(lambda n: ("up", Namespace(n, "1")), st.sampled_from(NAMESPACES)),
    st.builds(
        lambda kind, n, s: ("down", (kind, n, s)),
        st.just("services"),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
    ),
    st.builds(
        lambda n, s: ("down", ("endpointslices", n, f"{s}-1")),
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
    ),
    st.builds(lambda n: ("down", ("namespaces", "", n)), st.sampled_from(NAMESPACES)),
)
PORTS = (Port("http", 80, "TCP"),)
QUESTIONS = [
    (f"{left}{service}.{namespace}.svc.cluster.local", qtype)
    for left in ("", "_http._tcp.", "10-1-0-1.")
    for service in SERVICES
    for namespace in NAMESPACES
    for qtype in ("A", "AAAA", "SRV")
] + [("x.svc.cluster.local", "A"), ("cluster.local", "SOA"), ("2.0.0.10.in-addr.arpa", "PTR")]


def cluster_server() -> tuple[Store, Server]:
    store = Store(lambda: 1000.0)
    for kind in ("services", "endpointslices", "namespaces"):
        store.listing(kind)
        store.listed(kind)
    zones = [names.from_text("cluster.local"), names.from_text("in-addr.arpa")]
    authority = KubernetesAuthority(store, zones)
    block = ServerBlock([authority], Metrics().counter(PANICS), ["kubernetes"])
    return store, Server(Router([Route(names.ROOT, block)]), Clock(), Metrics())


@given(st.lists(changes, max_size=12))
def test_nothing_repeated_is_ever_stale(steps: list[tuple[str, Any]]) -> None:
    """Whatever changes, a repeated reply is what the server would say now."""
    store, server = cluster_server()
    repeater = server.repeater()
    queries = [dns.message.make_query(name, qtype).to_wire() for name, qtype in QUESTIONS]
    for what, arguments in steps:
        for _ in range(2):
            for query in queries:
                repeater.respond(query, CLIENT, LOCAL)
        if what == "up":
            store.upsert(arguments)
        else:
            store.delete(*arguments)
        for query in queries:
            assert repeater.respond(query, CLIENT, LOCAL) == server.respond(query, CLIENT)
