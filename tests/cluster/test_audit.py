"""An audit finds what a watch lost, heals and counts it, and otherwise leaves everybody alone."""

from __future__ import annotations

import itertools

import pytest
from twisted.internet.task import Clock, deferLater

from k8sdns.cluster.access import ClusterAccess
from k8sdns.cluster.audit import SETTLE, Audit, replicas_beside
from k8sdns.cluster.live import LiveSource
from k8sdns.cluster.metadata_list import list_metadata
from k8sdns.cluster.model import Endpoint, EndpointSlice
from k8sdns.cluster.store import Store
from k8sdns.metrics import STORE_DRIFT, Metrics
from k8sdns.testing.apiserver import FakeApiServer
from k8sdns.testing.apiserver.faults import Fault

PERIOD = 60.0


def a_service(number, address="10.0.0.1"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"n{number}", "namespace": "shop"},
        "spec": {"clusterIP": address},
    }


class World:
    """A server, a source that has followed it for a while, and an audit of a minute."""

    def __init__(self, objects=3):
        self.clock = Clock()
        self.server = FakeApiServer(self.clock, self.clock)
        for number in range(objects):
            self.server.apply(a_service(number))
        self.store = Store(self.clock.seconds)
        self.metrics = Metrics()
        self.source = LiveSource(
            ClusterAccess("http://api:6443"),
            self.store,
            reactor=self.clock,
            kinds=("services",),
            endpoints=self.server.endpoint(),
            qps=100,
        )
        self.audit = Audit(
            self.source,
            self.store,
            self.metrics,
            period=PERIOD,
            clock=self.clock,
            uniform=lambda low, high: (low + high) / 2,
        )
        self.source.start()
        self.pass_time(5)
        self.audit.start()

    def pass_time(self, seconds, step=0.25):
        for _ in range(int(seconds / step)):
            self.clock.advance(step)

    @property
    def drift(self):
        return self.metrics.counter(STORE_DRIFT)["services",]

    @property
    def listings(self):
        return self.source.watches["services"].listings

    def names(self):
        return sorted(thing.name for thing in self.store.things("services"))

    def close(self):
        self.audit.stop()
        self.source.stop()
        self.pass_time(5)


def test_a_store_that_is_right_is_left_alone():
    world = World(objects=1200)
    world.pass_time(5 * PERIOD)
    lists = world.server.log.of("list")
    assert len(lists) >= 4
    assert all("as=PartialObjectMetadataList" in seen.accept for seen in lists)
    assert all(seen.query["resourceVersion"] == "0" for seen in lists)
    assert world.drift == 0
    assert world.listings == 1
    world.close()


def lost(store):
    store.delete("services", "shop", "n1")


def left_over(store):
    old = store.get("services", "shop", "n1")
    store.upsert(type(old)("shop", "ghost", "4", "ClusterIP", ("10.0.0.9",), "", (), ()))


def outdated(store):
    old = store.get("services", "shop", "n1")
    store.upsert(type(old)("shop", "n1", "1", "ClusterIP", ("10.0.0.9",), "", (), ()))


@pytest.mark.parametrize("damage", [lost, left_over, outdated])
def test_what_differs_is_healed_and_counted(damage):
    world = World()
    damage(world.store)
    world.pass_time(PERIOD + SETTLE + 5)
    assert world.names() == ["n0", "n1", "n2"]
    assert world.store.get("services", "shop", "n1").cluster_ips == ("10.0.0.1",)
    assert world.drift == 1
    assert world.listings == 2
    world.pass_time(3 * PERIOD)
    assert (world.drift, world.listings) == (1, 2)
    world.close()


def test_changes_under_way_are_no_drift():
    world = World()
    for second in range(200):
        world.server.apply(a_service(second % 7, f"10.0.1.{second}"))
        if second % 3 == 0:
            world.server.delete("Service", "shop", f"n{second % 5}")
        world.pass_time(1)
    assert (world.drift, world.listings) == (0, 1)
    world.close()


def test_what_cannot_be_read_is_listed_anew_once():
    world = World()
    world.server.apply(a_service(9) | {"spec": {"clusterIP": "10.0.0.7", "externalName": 7}})
    world.pass_time(6 * PERIOD)
    assert (world.drift, world.listings) == (0, 2)
    world.close()


def test_a_server_that_is_busy_is_not_audited_for_a_while():
    world = World()
    world.server.faults.add(Fault(verb="list", code=429, headers={"Retry-After": "1"}))
    world.pass_time(8 * PERIOD)
    assert len(world.server.log.of("list")) == 1
    world.pass_time(4 * PERIOD)
    assert len(world.server.log.of("list")) > 1
    world.close()


def test_an_outage_stops_no_later_audit():
    world = World()
    world.server.refuse()
    world.pass_time(2 * PERIOD)
    world.server.accept()
    world.pass_time(PERIOD)
    lost(world.store)
    world.pass_time(2 * PERIOD + SETTLE)
    assert world.drift == 1
    world.close()


def test_after_stop_nothing_is_asked():
    world = World()
    world.audit.stop()
    world.pass_time(3 * PERIOD)
    assert world.server.log.of("list") == []
    world.close()


def test_the_pause_grows_with_the_replicas_behind_our_own_service():
    store = Store()
    endpoints = tuple(Endpoint(f"10.1.0.{n}", "", "", "", "") for n in range(3))
    store.upsert(EndpointSlice("kube-system", "a", "kube-dns", "1", (), endpoints, None))
    six = tuple(Endpoint(f"fd00::{n}", "", "", "", "") for n in range(3))
    store.upsert(EndpointSlice("kube-system", "b", "kube-dns", "1", (), six, None))
    store.upsert(EndpointSlice("shop", "c", "web", "1", (), endpoints[:1], None))
    assert replicas_beside(store, ["10.1.0.2"]) == 3
    assert replicas_beside(store, ["10.1.0.0", "fd00::1"]) == 3
    assert replicas_beside(store, ["192.0.2.1"]) == 1
    assert replicas_beside(store, []) == 1


def change_behind_lists(world, monkeypatch, change):
    """Let `change(number)` come to pass between every list and its end."""
    numbers = itertools.count()

    async def slow(*arguments):
        version = await list_metadata(*arguments)
        change(next(numbers))
        await deferLater(world.clock, 0.5)
        return version

    monkeypatch.setattr("k8sdns.cluster.audit.list_metadata", slow)


def test_a_busy_cluster_is_audited_too(monkeypatch):
    world = World()
    change_behind_lists(
        world, monkeypatch, lambda number: world.server.apply(a_service(0, f"10.0.1.{number + 1}"))
    )
    world.store.delete("services", "shop", "n1")
    world.pass_time(PERIOD + 3 * SETTLE)
    assert world.drift == 1
    assert world.names() == ["n0", "n1", "n2"]
    world.close()


def test_what_comes_and_goes_during_a_list_is_no_difference(monkeypatch):
    world = World()

    def change(number):
        world.server.apply(a_service(10 + number))
        world.server.delete("Service", "shop", f"n{number}")

    change_behind_lists(world, monkeypatch, change)
    world.pass_time(3.5 * PERIOD)
    assert world.names()[0] != "n0"
    assert (world.drift, world.listings) == (0, 1)
    world.close()


def test_a_watch_that_was_not_answered_yet_is_no_drift():
    world = World()
    world.pass_time(PERIOD - 2)
    world.server.faults.half_open(verb="watch", times=None)
    world.server.disconnect()
    world.server.apply(a_service(7))
    world.pass_time(2 * SETTLE)
    assert "n7" not in world.names()
    assert (world.drift, world.listings) == (0, 1)
    world.server.faults.clear()
    world.pass_time(PERIOD)
    assert "n7" in world.names()
    assert world.drift == 0
    world.close()


def test_keys_are_gathered_in_steps(monkeypatch):
    monkeypatch.setattr("k8sdns.cluster.audit.KEYS_AT_ONCE", 2)
    world = World(objects=5)
    world.store.delete("services", "shop", "n4")
    world.pass_time(PERIOD + 3 * SETTLE)
    assert world.drift == 1
    assert world.names() == [f"n{number}" for number in range(5)]
    world.close()
