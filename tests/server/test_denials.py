"""Denials that hold for names beside the one that was asked: the same as asking, never stale."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import dns.message
import pytest
from hypothesis import given, settings, strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Answer, Question
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Port, Service
from k8sdns.cluster.store import Store
from k8sdns.interfaces import IAuthority, IRepeatObserver
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.denials import MAX_CUTS, MAX_LENGTHS
from k8sdns.server.repeats import Repeater
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server

CLIENT, LOCAL = ("192.0.2.9", 4321), ("127.0.0.1", 53)
PORTS = (Port("http", 80, "TCP"),)
ZONE = names.from_text("cluster.local")
RD, RD_AD = 0x0100, 0x0120


def query(name: str | bytes, qtype: int = 1, flags: int = RD, opt: bytes = b"") -> bytes:
    wire = name if isinstance(name, bytes) else names.from_text(name, lower=False)
    header = struct.pack("!HHHHHH", 0x1234, flags, 1, 0, 0, bool(opt))
    return header + wire + struct.pack("!HH", qtype, 1) + opt


def service(namespace: str, name: str, *ips: str, kind: str = "ClusterIP") -> Service:
    target = "example.org" if kind == "ExternalName" else ""
    return Service(namespace, name, "1", kind, ips, target, PORTS, ())


class Watched(KubernetesAuthority):
    """Counts what it is asked."""

    asked = 0

    def answer(self, question: Question) -> Any:
        self.asked += 1
        return super().answer(question)


def a_store() -> Store:
    store = Store(lambda: 1000.0)
    for kind in ("services", "endpointslices", "namespaces"):
        store.listing(kind)
        store.listed(kind)
    for name in ("x", "y"):
        store.upsert(Namespace(name, "1"))
    store.upsert(service("x", "web", "10.0.0.1"))
    store.upsert(service("x", "both", "10.0.0.2", "fd00::2"))
    store.upsert(service("x", "crowd", "None"))
    store.upsert(service("x", "alias", kind="ExternalName"))
    return store


def serve(*things: Any, zone: bytes = names.ROOT, beside: bytes | None = None) -> Server:
    metrics = Metrics()
    routes = [Route(zone, ServerBlock(things, metrics.counter(PANICS), ["kubernetes"]))]
    if beside is not None:
        other = ServerBlock([], metrics.counter(PANICS), ["whoami"])
        routes.append(Route(beside, other))
    return Server(Router(routes), Clock(), metrics)


def a_cluster(**options: Any) -> tuple[Watched, Repeater]:
    authority = Watched(a_store(), [ZONE], **options)
    return authority, serve(authority).repeater()


def ask(repeater: Repeater, message: bytes) -> bytes:
    reply = repeater.respond(message, CLIENT, LOCAL)
    assert isinstance(reply, bytes)
    parsed = dns.message.from_wire(reply)
    assert dns.message.from_wire(message).is_response(parsed)
    return reply


def rcode(reply: bytes) -> int:
    return reply[3] & 0xF


LEARNED = [
    ("a.x.svc.cluster.local", "b.x.svc.cluster.local"),
    ("www.example.a.x.svc.cluster.local", "www.another.b.x.svc.cluster.local"),
    ("a.b.c.d.e.f.g.x.svc.cluster.local", "g.f.e.d.c.b.a.x.svc.cluster.local"),
    ("a.nowhere.svc.cluster.local", "b.nothing.svc.cluster.local"),
    ("a.no.pod.cluster.local", "b.ne.pod.cluster.local"),
    ("example.com.cluster.local", "another.org.cluster.local"),
    ("abc.x.svc.cluster.local", "ABC.x.svc.cluster.local"),
]


@pytest.mark.parametrize("learned, asked", LEARNED)
def test_names_of_one_length_below_one_encloser_are_denied_alike(learned: str, asked: str) -> None:
    authority, repeater = a_cluster()
    for _ in range(2):
        assert rcode(ask(repeater, query(learned))) == 3
    before = authority.asked
    asked_reply = ask(repeater, query(asked))
    assert authority.asked == before
    assert asked_reply == authority_says(query(asked))


def authority_says(message: bytes, **options: Any) -> bytes:
    reply = serve(KubernetesAuthority(a_store(), [ZONE], **options)).respond(message, CLIENT, LOCAL)
    assert isinstance(reply, bytes)
    return reply


@pytest.mark.parametrize(
    "other",
    [
        query("web.x.svc.cluster.local"),
        query("WEB.x.svc.cluster.local"),
        query("abc.X.svc.cluster.local"),
        query("abc.x.svc.cluster.local", 28),
        query("abc.x.svc.cluster.local", flags=RD_AD),
        query("abc.x.svc.cluster.local", opt=b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        query("abc.y.svc.cluster.local"),
        query("longer.x.svc.cluster.local"),
        query("ep.web.x.svc.cluster.local"),
        query(b"\x05abc\x01x\x03svc\x07cluster\x05local\x00"),  # a label that holds the next one
        query(b"\x00\x03abc\x01x\x03svc\x07cluster\x05local\x00"),  # the root, and octets behind
        query(b"\xc0\x0c\x03abc\x01x\x03svc\x07cluster\x05local\x00"),
        query("abc.x.svc.cluster.local")[:-1],
        query("abc.x.svc.cluster.local") + b"\0",
    ],
)
def test_whatever_else_is_asked_is_asked_of_the_server(other: bytes) -> None:
    _, repeater = a_cluster()
    for _ in range(3):
        ask(repeater, query("abc.x.svc.cluster.local"))
    assert repeater.respond(other, CLIENT, LOCAL) == authority_says(other)


def test_children_that_lack_a_type_are_told_so_alike() -> None:
    authority, repeater = a_cluster()
    authority.store.upsert(service("x", "api", "10.0.0.9"))
    for _ in range(2):
        assert rcode(ask(repeater, query("web.x.svc.cluster.local", 28))) == 0
    before = authority.asked
    assert rcode(ask(repeater, query("api.x.svc.cluster.local", 28))) == 0
    assert authority.asked == before
    for name in ("both", "crowd", "alias"):
        ask(repeater, query(f"{name}.x.svc.cluster.local", 28))
    assert authority.asked == before + 3


def test_what_may_be_hidden_is_not_said_to_lack_a_type() -> None:
    _, repeater = a_cluster(ignore_empty_service=True)
    for _ in range(4):
        reply = ask(repeater, query("web.x.svc.cluster.local", 28))
    assert reply == authority_says(query("web.x.svc.cluster.local", 28), ignore_empty_service=True)
    assert rcode(reply) == 3


def test_a_name_that_comes_to_be_is_never_denied() -> None:
    authority, repeater = a_cluster()
    for _ in range(3):
        ask(repeater, query("abc.x.svc.cluster.local"))
        ask(repeater, query("api.new.svc.cluster.local"))
    authority.store.upsert(service("x", "new", "10.0.0.7"))
    assert rcode(ask(repeater, query("new.x.svc.cluster.local"))) == 0
    authority.store.upsert(Namespace("new", "1"))
    authority.store.upsert(service("new", "api", "10.0.0.8"))
    assert rcode(ask(repeater, query("api.new.svc.cluster.local"))) == 0


@implementer(IAuthority)
class InFront:
    """Answers one name and passes on all others."""

    word = "hosts"

    def __init__(self, name: str) -> None:
        self._name = names.from_text(name)

    def answer(self, question: Question) -> Answer | None:
        return Answer(source=self.word) if question.qname == self._name else None


def learned(repeater: Repeater) -> Repeater:
    for _ in range(3):
        ask(repeater, query("one.x.svc.cluster.local"))
        ask(repeater, query("aaaaaaaa.example.test"))  # as long as 1.0.0.10.in-addr.arpa
    return repeater


NESTED = names.from_text("two.x.svc.cluster.local")


@pytest.mark.parametrize(
    "things, beside",
    [
        ([InFront("two.x.svc.cluster.local")], None),
        ([KubernetesAuthority(a_store(), [NESTED])], None),
        ([], NESTED),
    ],
    ids=["an authority in front", "another cluster in front", "a block beside"],
)
def test_where_others_have_their_say_each_name_is_asked(
    things: list[Any], beside: bytes | None
) -> None:
    server = serve(*things, KubernetesAuthority(a_store(), [ZONE]), beside=beside)
    repeater = learned(server.repeater())
    message = query("two.x.svc.cluster.local")
    assert repeater.respond(message, CLIENT, LOCAL) == server.respond(message, CLIENT, LOCAL)


@pytest.mark.parametrize(
    "zones, options",
    [
        ([ZONE, NESTED], {}),
        ([ZONE], {"fallthrough": [NESTED]}),
        ([names.ROOT], {}),
    ],
    ids=["a zone inside", "names that fall through", "the root"],
)
def test_zones_that_hold_more_than_the_tree_deny_names_one_by_one(
    zones: list[bytes], options: dict[str, Any]
) -> None:
    server = serve(
        KubernetesAuthority(a_store(), zones, **options), InFront("two.x.svc.cluster.local")
    )
    repeater = learned(server.repeater())
    for name in ("two.x.svc.cluster.local", "1.0.0.10.in-addr.arpa"):
        message = query(name)
        assert repeater.respond(message, CLIENT, LOCAL) == server.respond(message, CLIENT, LOCAL)


def test_observers_are_told_of_every_denial() -> None:
    @implementer(IRepeatObserver)
    class Teller:
        seen = told = 0

        def saw(self, *_args: Any) -> None:
            self.seen += 1

        def tally(self, *_args: Any) -> Callable[[int], None]:
            return self.add

        def add(self, count: int) -> None:
            self.told += count

    teller, store = Teller(), a_store()
    server = serve(KubernetesAuthority(store, [ZONE]), teller)
    repeater = server.repeater()
    for number in range(20):
        ask(repeater, query(f"u{number:02}.x.svc.cluster.local"))
    assert server.asked == 20
    server.tell_observers()
    assert (teller.seen, teller.told) == (2, 18)
    store.upsert(Namespace("z", "1"))
    for number in range(20):
        ask(repeater, query(f"u{number:02}.x.svc.cluster.local"))
    server.tell_observers()
    assert teller.seen + teller.told == server.asked == 40


def test_the_same_name_again_and_again_becomes_a_reply_of_its_own() -> None:
    _, repeater = a_cluster()
    for _ in range(2):
        ask(repeater, query("one.x.svc.cluster.local"))
    replies = {ask(repeater, query("two.x.svc.cluster.local")) for _ in range(5)}
    assert replies == {authority_says(query("two.x.svc.cluster.local"))}
    assert query("two.x.svc.cluster.local")[2:] in repeater._replies


class WithoutMaker(Watched):
    """Does not say what becomes of its denials."""

    def answer(self, question: Question) -> Any:
        answer = super().answer(question)
        if question.encloser is not None:
            question.encloser = question.encloser._replace(maker=None)
        return answer


def test_after_a_change_what_was_of_use_is_learned_at_once() -> None:
    authority = WithoutMaker(a_store(), [ZONE])
    repeater = serve(authority).repeater()
    for _ in range(2):
        ask(repeater, query("one.x.svc.cluster.local"))
    for name, asked_before in (("two", 2), ("six", 3), ("ten", 3)):
        if name == "six":
            authority.store.upsert(Namespace("z", "1"))
        ask(repeater, query(f"{name}.x.svc.cluster.local"))
        assert authority.asked == asked_before


def a_slice(namespace: str, of: str, address: str) -> EndpointSlice:
    endpoint = Endpoint(address, "", "", "", "")
    return EndpointSlice(namespace, f"{of}-1", of, "1", PORTS, (endpoint,), None)


ELSEWHERE: list[Callable[[Store], None]] = [
    lambda store: store.upsert(Namespace("z", "1")),
    lambda store: store.upsert(a_slice("x", "web", "10.1.0.1")),
    lambda store: store.upsert(service("y", "web", "10.0.0.8")),
    lambda store: store.upsert(service("x", "more", "10.0.0.9")),
    lambda store: store.delete("services", "x", "both"),
    lambda store: store.delete("namespaces", "", "y"),
]


@pytest.mark.parametrize("change", ELSEWHERE)
def test_a_denial_outlives_changes_elsewhere(change: Callable[[Store], None]) -> None:
    """The serial moves, and nobody is asked for it."""
    authority, repeater = a_cluster()
    asked = [
        ("one.x.svc.cluster.local", 1, "two.x.svc.cluster.local"),
        ("one.nowhere.svc.cluster.local", 1, "two.nowhere.svc.cluster.local"),
        ("web.x.svc.cluster.local", 28, "web.x.svc.cluster.local"),
    ]
    before = [[ask(repeater, query(name, qtype)) for _ in range(3)] for name, qtype, _ in asked]
    serial = authority.store.serial
    change(authority.store)
    count = authority.asked
    now = [ask(repeater, query(name, qtype)) for _, qtype, name in asked]
    assert authority.asked == count
    server = serve(KubernetesAuthority(authority.store, [ZONE]))
    assert now == [server.respond(query(name, t), CLIENT, LOCAL) for _, t, name in asked]
    is_new = set(now).isdisjoint(reply for replies in before for reply in replies)
    assert is_new == (authority.store.serial != serial)  # namespaces do not move it


def test_of_what_a_denial_has_become_observers_hear_the_same() -> None:
    rcodes = []

    @implementer(IRepeatObserver)
    class Teller:
        def saw(self, *_args: Any) -> None: ...

        def tally(self, _question: Question, answer: Answer, _size: int) -> Callable[[int], None]:
            rcodes.append(answer.rcode)
            return lambda _count: None

    store = a_store()
    repeater = serve(KubernetesAuthority(store, [ZONE]), Teller()).repeater()
    for name, qtype in (("web.x.svc.cluster.local", 28), ("one.x.svc.cluster.local", 1)):
        for _ in range(2):
            ask(repeater, query(name, qtype))
        store.upsert(service("y", f"s{qtype}", "10.0.0.8"))
        for _ in range(2):  # the second makes a reply of its own
            ask(repeater, query(name, qtype))
    assert rcodes == [0, 0, 3, 3]


def test_a_denial_of_a_copy_ends_with_the_copy() -> None:
    """What an earlier life left is said to be stale; what was listed is not."""
    store = Store(lambda: 1000.0)
    store.recalled_at = 900.0
    store.recall(Namespace("x", "1"))
    store.recall(service("x", "web", "10.0.0.1"))
    repeater = serve(KubernetesAuthority(store, [ZONE])).repeater()
    asked = [query("web.x.svc.cluster.local", 28, opt=b"\0\0\x29\x04\xd0\0\0\0\0\0\0")] * 3
    copied = {ask(repeater, message) for message in asked}
    for kind in ("services", "endpointslices", "namespaces"):
        store.listed(kind)
    listed = {ask(repeater, message) for message in asked}
    assert all(dns.message.from_wire(reply).options for reply in copied)
    assert not any(dns.message.from_wire(reply).options for reply in listed)


def test_a_denial_is_kept_where_everything_changes_all_the_time() -> None:
    authority, repeater = a_cluster()
    for number in range(20):
        authority.store.upsert(a_slice("x", "web", f"10.1.0.{number}"))
        ask(repeater, query(f"u{number:02}.x.svc.cluster.local"))
    assert authority.asked == 2


ENCLOSERS_LOST: list[tuple[Callable[[Store], None], Callable[[Store], None]]] = [
    (
        lambda store: store.delete("namespaces", "", "y"),
        lambda store: store.upsert(Namespace("y", "1")),
    ),
    (
        lambda store: store.delete("services", "y", "only"),
        lambda store: store.upsert(service("y", "late", "10.0.0.8")),
    ),
]


@pytest.mark.parametrize("lose, find", ENCLOSERS_LOST, ids=["the namespace", "its last Service"])
def test_a_denial_ends_with_its_encloser(
    lose: Callable[[Store], None], find: Callable[[Store], None]
) -> None:
    authority, repeater = a_cluster()
    store = authority.store
    store.upsert(service("y", "only", "10.0.0.7"))
    asked = [("abc.y.svc.cluster.local", 1), ("late.y.svc.cluster.local", 1)]
    asked += [("only.y.svc.cluster.local", 28)]
    for change in (lambda _: None, lose, find):
        change(store)
        server = serve(KubernetesAuthority(store, [ZONE]))
        for name, qtype in asked * 3:
            message = query(name, qtype)
            assert ask(repeater, message) == server.respond(message, CLIENT, LOCAL)


def test_an_authority_that_was_closed_renews_no_denial() -> None:
    """It hears of changes no longer."""
    authority, repeater = a_cluster()
    for _ in range(3):
        ask(repeater, query("one.x.svc.cluster.local"))
    authority.close()
    before = authority.asked
    ask(repeater, query("two.x.svc.cluster.local"))
    assert authority.asked == before + 1


def test_a_server_that_is_over_forgets_its_denials() -> None:
    authority = Watched(a_store(), [ZONE])
    server = serve(authority)
    repeater = server.repeater()
    for _ in range(2):
        ask(repeater, query("one.x.svc.cluster.local"))
    list(server.forgetting_replies())
    ask(repeater, query("two.x.svc.cluster.local"))
    assert authority.asked == 3
    assert repeater.served == 0


def test_a_flood_of_types_and_headers_costs_a_bounded_memory() -> None:
    authority, repeater = a_cluster()
    for qtype in range(300, 300 + MAX_CUTS + 50):
        for _ in range(2):
            ask(repeater, query("one.x.svc.cluster.local", qtype))
    assert len(repeater._denials._all_cuts()) == MAX_CUTS
    before = authority.asked
    ask(repeater, query("two.x.svc.cluster.local", 300 + MAX_CUTS + 49))
    assert authority.asked == before


def test_names_of_many_lengths_cost_a_bounded_memory() -> None:
    _, repeater = a_cluster()
    for qtype in range(300, 300 + MAX_LENGTHS // 60 + 20):
        for length in range(3, 63):
            message = query(f"{'a' * length}.x.svc.cluster.local", qtype)
            for _ in range(2):
                repeater.respond(message, CLIENT, LOCAL)
    cuts = repeater._denials._all_cuts()
    kept = sum(len(list(cut.denials())) for cut in cuts)
    assert kept <= sum(len(cut.sighted) for cut in cuts) <= MAX_LENGTHS
    assert kept > MAX_LENGTHS // 2


SERVICES, NAMESPACES = ["a", "b", "svc"], ["x", "y"]
changes = st.one_of(
    st.tuples(
        st.sampled_from(NAMESPACES),
        st.sampled_from(SERVICES),
        st.sampled_from([(), ("None",), ("10.0.0.1",), ("fd00::1",), ("10.0.0.1", "fd00::1")]),
        st.sampled_from(["ClusterIP", "ClusterIP", "ExternalName"]),
    ).map(lambda it: ("upsert", service(it[0], it[1], *it[2], kind=it[3]))),
    st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(SERVICES)).map(
        lambda it: ("delete", ("services", *it))
    ),
    st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(SERVICES)).map(
        lambda it: ("upsert", a_slice(*it, "10.1.0.1"))
    ),
    st.sampled_from(NAMESPACES).map(lambda name: ("upsert", Namespace(name, "1"))),
    st.sampled_from(NAMESPACES).map(lambda name: ("delete", ("namespaces", "", name))),
)
labels = st.sampled_from(["a", "b", "B", "c", "x", "y", "svc", "pod", "dns", "_tcp", "10-1-0-1"])
asked = st.tuples(
    st.lists(labels, max_size=5).map(lambda left: ".".join([*left, "cluster.local"])),
    st.sampled_from([1, 28, 33, 16, 12, 6]),
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(changes, st.lists(asked, min_size=1, max_size=12)), max_size=8),
    st.sampled_from([{}, {"ignore_empty_service": True}, {"namespaces": frozenset("x")}]),
)
def test_no_denial_is_ever_stale_or_wrong(
    steps: list[tuple[Any, list[tuple[str, int]]]], options: dict[str, Any]
) -> None:
    """Whatever changes and whoever asks what, the reply is what the server would say now."""
    store = a_store()
    server = serve(KubernetesAuthority(store, [ZONE], **options))
    repeater = server.repeater()
    for (what, arguments), questions in steps:
        if what == "upsert":
            store.upsert(arguments)
        else:
            store.delete(*arguments)
        for name, qtype in questions * 3:
            message = query(name, qtype)
            expected = server.respond(message, CLIENT, LOCAL)
            assert repeater.respond(message, CLIENT, LOCAL) == expected


@given(st.integers(12, 45), st.binary(max_size=4), st.integers(0, 3))
def test_octets_that_are_no_such_query_are_not_taken_for_one(
    at: int, octets: bytes, cut_out: int
) -> None:
    server = serve(KubernetesAuthority(a_store(), [ZONE]))
    repeater = learned(server.repeater())
    plain = query("one.x.svc.cluster.local")
    message = plain[:at] + octets + plain[at + cut_out :]
    assert repeater.respond(message, CLIENT, LOCAL) == server.respond(message, CLIENT, LOCAL)
