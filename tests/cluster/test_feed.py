"""The feed: a store behind it ends equal to a store in front of it, whatever came between."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from twisted.internet.testing import StringTransport

from k8sdns.cluster import feed
from k8sdns.cluster.fed import Fed, Feed
from k8sdns.cluster.feed import Relay
from k8sdns.cluster.feeding import MAX_BEHIND, Feeding, Taker
from k8sdns.cluster.model import KINDS, Endpoint, EndpointSlice, Namespace, Pod, Port, Service
from k8sdns.cluster.store import Store, everything

KEY = ("cluster", ("a.yaml",), 5.0)
SOURCE = feed.source_name(KEY)


def service(name, ip="10.0.0.1"):
    return Service("ns", name, "", "ClusterIP", (ip,), "", (Port("web", 80, "TCP"),), ())


def endpoints(name, ip="10.1.0.1"):
    ports = (Port("web", 80, "TCP"),)
    return EndpointSlice("ns", name, "a", "", ports, (Endpoint(ip, "", "p", "n", "z"),), 12345.5)


class Room(StringTransport):
    """A connection that is full after a write of `room` octets or more."""

    def __init__(self, room=10**9):
        super().__init__()
        self.room = room

    def write(self, octets):
        super().write(octets)
        if len(octets) >= self.room and self.producer is not None:
            self.producer.pauseProducing()


class Pair:
    """A feeder and a worker, joined by hand: octets travel when `carry` is called."""

    def __init__(self, room=10**9, *, is_packed=False):
        self.feeding = Feeding()
        self.relay = Relay(is_packed=is_packed)
        self.fed = Fed()
        self.store = Store()
        self.source = self.fed.source(KEY)(self.store)
        self.connect(room)

    def connect(self, room=10**9):
        self.taker, self.feed = Taker(self.feeding), Feed(self.fed)
        self.down, self.up = Room(room), StringTransport()
        self.taker.makeConnection(self.down)
        self.feed.makeConnection(self.up)

    def carry(self):
        while self.up.value() or self.down.value():
            up, down = self.up.value(), self.down.value()
            self.up.clear()
            self.down.clear()
            self.taker.dataReceived(up)
            self.feed.dataReceived(down)
            self.taker.resumeProducing()

    def known(self):
        return set(everything(self.store))


def test_what_comes_from_a_copy_is_known_to_come_from_one():
    for is_late in (False, True):
        pair = Pair()
        pair.feeding.add(SOURCE, pair.relay)
        if not is_late:
            pair.source.start()
            pair.carry()
            pair.taker.pauseProducing()
        pair.relay.recalled_at = 1234.5
        pair.relay.recall(service("a"))
        if is_late:
            pair.source.start()
        pair.taker.resumeProducing()
        pair.carry()
        assert pair.store.recalled_at == 1234.5
        assert pair.known() == {service("a")}
        assert not pair.store.is_synced(["services"])


@pytest.fixture(params=[True, False])
def pair(request):
    made = Pair(is_packed=request.param)
    made.feeding.add(SOURCE, made.relay)
    made.source.start()
    made.carry()
    return made


THINGS = [
    service("a"), endpoints("a-1"), Pod("ns", "p", "", "10.1.0.1"), Namespace("ns", ""),
]  # fmt: skip


@pytest.mark.parametrize("thing", THINGS)
def test_every_kind_survives_the_wire(pair, thing):
    pair.relay.upsert(thing)
    pair.carry()
    assert pair.known() == {thing}


def test_versions_are_for_those_who_watch_and_equal_parts_are_kept_once(pair):
    for name in ("a", "b"):
        pair.relay.upsert(msgspec.structs.replace(service(name), resource_version="12"))
    pair.carry()
    one, two = sorted(pair.known(), key=lambda each: each.name)
    assert one.resource_version == two.resource_version == ""
    assert one.ports is two.ports
    assert one.namespace is two.namespace


def test_a_newcomer_gets_everything_and_is_synced(pair):
    for kind in KINDS:
        pair.relay.listing(kind)
    for thing in THINGS:
        pair.relay.upsert(thing)
    for kind in KINDS:
        pair.relay.listed(kind)
    late = Pair()
    late.feeding, late.taker._feeding = pair.feeding, pair.feeding
    late.source.start()
    late.carry()
    assert late.known() == set(THINGS)
    assert late.store.is_synced(KINDS)


def test_a_source_may_be_wanted_before_it_is_there():
    pair = Pair()
    pair.source.start()
    pair.carry()
    pair.relay.upsert(service("a"))
    pair.feeding.add(SOURCE, pair.relay)
    pair.carry()
    assert pair.known() == {service("a")}


def test_what_answers_cannot_show_is_not_sent(pair):
    pair.relay.upsert(service("a"))
    pair.carry()
    pair.relay.upsert(msgspec.structs.replace(service("a"), resource_version="2"))
    assert not pair.down.value()


def test_what_was_deleted_while_nobody_fed_goes_with_the_next_listing(pair):
    """A feeder that was restarted knows nothing of what is gone."""
    pair.relay.listing("services")
    pair.relay.upsert(service("a"))
    pair.relay.upsert(service("b"))
    pair.relay.listed("services")
    pair.carry()
    pair.feed.connectionLost()
    assert pair.store.is_stale("services")
    assert pair.known() == {service("a"), service("b")}
    pair.relay, pair.feeding = Relay(), Feeding()
    pair.feeding.add(SOURCE, pair.relay)
    pair.connect()
    pair.carry()
    assert pair.known() == {service("a"), service("b")}  # not listed yet: what is known stays
    pair.relay.listing("services")
    pair.relay.upsert(service("a"))
    pair.relay.listed("services")
    pair.carry()
    assert pair.known() == {service("a")}
    assert not pair.store.is_stale("services")


def test_a_taker_that_does_not_read_holds_nobody_up_and_gets_everything_in_the_end(pair):
    slow = Pair(room=1)
    slow.feeding, slow.taker._feeding = pair.feeding, pair.feeding
    pair.feeding.takers.add(slow.taker)
    slow.taker.wanted.add(SOURCE)
    slow.taker.pauseProducing()
    slow.fed.want(SOURCE, slow.store)
    slow.up.clear()
    for number in range(MAX_BEHIND + 10):
        pair.relay.upsert(service(f"s{number}", f"10.0.{number >> 8}.{number & 255}"))
    assert len(slow.down.value()) == 0
    assert len(slow.taker._behind) <= MAX_BEHIND
    pair.relay.delete("services", "ns", "s0")
    slow.taker.resumeProducing()
    slow.carry()
    assert slow.known() == set(pair.relay.things("services"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.sampled_from("abcd"), st.sampled_from("123")),
        st.tuples(st.just("delete"), st.sampled_from("abcd"), st.just("")),
        st.tuples(st.sampled_from(["listing", "listed", "stale", "carry", "cut", "full"]),
                  st.just(""), st.just("")),
    ),
    max_size=60,
)  # fmt: skip


@given(STEPS, st.randoms())
@settings(deadline=None)
def test_the_far_store_ends_equal_to_the_near_one(steps, rng: random.Random):
    """Law 3 through the feed: any changes, any congestion, any loss of the connection."""
    pair = Pair(room=rng.choice([1, 200, 10**9]), is_packed=rng.choice([True, False]))
    pair.feeding.add(SOURCE, pair.relay)
    near = Store()
    pair.source.start()
    for step, name, number in steps:
        if step == "carry":
            pair.carry()
        elif step == "full":
            pair.taker.pauseProducing()
        elif step == "cut":
            pair.taker.connectionLost()
            pair.feed.connectionLost()
            pair.connect(room=rng.choice([1, 10**9]))
        else:
            for sink in (near, pair.relay):
                if step == "upsert":
                    sink.upsert(service(name, f"10.0.0.{number}"))
                elif step == "delete":
                    sink.delete("services", "ns", name)
                else:
                    getattr(sink, step)("services")
    pair.taker.resumeProducing()
    pair.carry()
    # What went away unseen is swept by the listing's end; before the first one nothing is.
    assert pair.known() >= set(everything(near))
    if near.synced:
        assert pair.known() == set(everything(near))
    assert pair.store.synced >= near.synced
    if near.synced:
        assert pair.store.is_stale("services") == near.is_stale("services")
