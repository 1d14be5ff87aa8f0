"""Law: whatever is cut, refused, delayed or forgotten, a live source ends equal to the server.

The whole client runs against the fake API server over connections in memory: Agent, exchanges,
readers, reflector and store, on a clock that the test turns.
"""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings, strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from k8sdns.cluster.access import ClusterAccess
from k8sdns.cluster.live import LiveSource
from k8sdns.cluster.model import key_of
from k8sdns.cluster.objects import OBJECT_TYPES, VIEWS
from k8sdns.cluster.reflection import Finish
from k8sdns.cluster.store import SWEPT_AT_ONCE, Store
from k8sdns.metrics import REST_LIMITER_DURATION, REST_REQUEST_DURATION, REST_REQUESTS, Metrics
from k8sdns.testing.apiserver import FakeApiServer

# Objects of this name are never deleted in a test, and must never be missing from the store.
ROCK = "n9"
KINDS = {"services": "Service", "endpointslices": "EndpointSlice", "namespaces": "Namespace"}


def an_object(kind, number, form):
    meta = {"name": f"n{number}", "namespace": "shop", "labels": {"form": str(form)}}
    if kind == "Namespace":
        meta.pop("namespace")
        return {"apiVersion": "v1", "kind": kind, "metadata": meta}
    if kind == "Service":
        spec = {"clusterIP": f"10.0.{form}.{number + 1}", "ports": [{"port": 80 + form}]}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}
    meta["labels"]["kubernetes.io/service-name"] = f"n{form}"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": kind,
        "metadata": meta,
        "addressType": "IPv4",
        # A name in another script makes cuts fall inside characters.
        "endpoints": [{"addresses": [f"10.1.{form}.{number}"], "nodeName": "nœud-☃"}],
        "ports": None,
    }


class World:
    """A server, a source that follows it, and a clock."""

    def __init__(self, seed=0):
        dice = random.Random(seed)
        self.clock = Clock()
        self.server = FakeApiServer(self.clock, self.clock)
        self.store = Store(self.clock.seconds)
        self.losses = []
        self.store.subscribe(self.changed)
        self.metrics = Metrics()
        self.source = LiveSource(
            ClusterAccess("http://api:6443"),
            self.store,
            reactor=self.clock,
            endpoints=self.server.endpoint(lambda octets: cut(octets, dice)),
            metrics=self.metrics,
        )

    def changed(self, kind, namespace, name):
        """Note when an object goes that the server has: no client may ever see that."""
        if name != ROCK or kind not in KINDS or self.store.get(kind, namespace, name):
            return
        if self.server.get(KINDS[kind], namespace, name):
            self.losses.append((kind, namespace, name))

    def pass_time(self, seconds, step=0.25):
        for _ in range(int(seconds / step)):
            self.clock.advance(step)

    def expected(self, kind):
        """What the store must hold, from the server's own objects."""
        found = {}
        for thing in self.server.objects(KINDS[kind]):
            typed = msgspec.json.decode(msgspec.json.encode(thing), type=OBJECT_TYPES[kind])
            view = VIEWS[kind](typed)
            found[key_of(view)] = view
        return found

    def held(self, kind):
        return {key_of(thing): thing for thing in self.store.things(kind)}

    def heal(self):
        self.server.faults.clear()
        self.server.accept()
        conduct = self.server.conduct
        conduct.watch_list = conduct.initial_events_end = True
        conduct.old_etcd = conduct.gone_over_http = conduct.short = False

    def close(self):
        self.source.stop()
        self.server.stop()
        self.pass_time(1)


def cut(octets, dice):
    while octets:
        length = dice.choice((1, 2, 7, 100, 4000))
        yield octets[:length]
        octets = octets[length:]


KIND = st.sampled_from(sorted(KINDS.values()))
VERB = st.sampled_from(["list", "watch", None])
TIMES = st.integers(1, 4)
STEPS = st.one_of(
    st.tuples(st.just("apply"), KIND, st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.just("apply"), KIND, st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.just("delete"), KIND, st.integers(0, 4)),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 1.0, 5.0, 40.0])),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 1.0])),
    st.tuples(st.just("compact")),
    st.tuples(st.just("disconnect"), st.sampled_from(["reset", "close"])),
    st.tuples(st.just("end")),
    st.tuples(st.just("refuse")),
    st.tuples(st.just("accept")),
    st.tuples(st.just("cut"), VERB, st.integers(0, 3000), TIMES),
    st.tuples(st.just("stall"), VERB, st.integers(0, 3000), TIMES),
    st.tuples(st.just("429"), VERB, TIMES),
    st.tuples(st.just("503"), VERB, TIMES),
    st.tuples(st.just("502"), VERB, TIMES),
    st.tuples(st.just("delay"), VERB, st.sampled_from([1.0, 40.0]), TIMES),
    st.tuples(st.just("conduct"), st.sampled_from(["watch_list", "initial_events_end"])),
    st.tuples(st.just("conduct"), st.sampled_from(["old_etcd", "gone_over_http", "short"])),
    st.tuples(
        st.just("garbage"), st.sampled_from([b"{\n", b"\n", b'{"type":"NEW","object":{}}\n'])
    ),
)


def do(world, step):
    server, (what, *rest) = world.server, step if isinstance(step, tuple) else (step,)
    match what, rest:
        case "apply", (kind, number, form):
            server.apply(an_object(kind, number, form))
        case "delete", (kind, number):
            server.delete(kind, "" if kind == "Namespace" else "shop", f"n{number}")
        case "pass", (seconds,):
            world.pass_time(seconds)
        case "compact", _:
            server.compact()
        case "disconnect", (how,):
            server.disconnect(how)
        case "end", _:
            server.end_watches()
        case "refuse", _:
            server.refuse()
        case "accept", _:
            server.accept()
        case "cut", (verb, after, times):
            server.faults.cut(after, verb=verb, times=times)
        case "stall", (verb, after, times):
            server.faults.half_open(after, verb=verb, times=times)
        case "429", (verb, times):
            server.faults.too_many_requests(2, verb=verb, times=times)
        case "503", (verb, times):
            server.faults.unavailable(verb=verb, times=times)
        case "502", (verb, times):
            server.faults.bad_gateway(verb=verb, times=times)
        case "delay", (verb, seconds, times):
            server.faults.delay(seconds, verb=verb, times=times)
        case "conduct", (name,):
            setattr(server.conduct, name, not getattr(server.conduct, name))
        case "garbage", (octets,):
            for watch in server.open_watches():
                watch.stream.raw(octets)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40), st.integers(0, 2**16))
def test_a_source_ends_equal_to_the_server_whatever_happened(steps, seed):
    world = World(seed)
    for kind in KINDS.values():
        world.server.apply(an_object(kind, 9, 0))
    world.source.start()
    world.pass_time(1)
    for step in steps:
        do(world, step)
    world.heal()
    # A watch that fell silent half-open is noticed when its time is over, ten minutes at most.
    world.pass_time(700, step=1.0)
    assert world.source.unsynced == ()
    for kind in KINDS:
        assert world.held(kind) == world.expected(kind)
        assert not world.store.is_stale(kind)
    assert world.losses == []
    world.close()
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "conduct",
    [
        {"watch_list": False},
        {"old_etcd": True},
        {"initial_events_end": False},
        {"old_etcd": True, "gone_over_http": True},
    ],
)
def test_every_server_that_cannot_do_watch_list_is_synced_all_the_same(conduct):
    world = World()
    for name, value in conduct.items():
        setattr(world.server.conduct, name, value)
    world.server.apply(an_object("Service", 1, 1))
    world.source.start()
    world.pass_time(20)
    assert world.source.unsynced == ()
    assert world.held("services") == world.expected("services")
    world.close()


def test_a_server_whose_watches_all_end_at_once_is_not_hammered():
    world = World()
    world.server.conduct.short = True
    world.source.start()
    world.pass_time(120)
    assert len(world.server.log) < 3 * 2 * 15
    world.close()


def test_a_refused_role_is_retried_gently_and_heals():
    world = World()
    world.server.access.add_token("t", "dns")
    world.server.access.allow("dns", "get", "pods")
    world.source = LiveSource(
        ClusterAccess("http://api:6443", token=_secret("t")),
        world.store,
        reactor=world.clock,
        endpoints=world.server.endpoint(),
    )
    world.server.apply(an_object("Service", 1, 1))
    with capturedLogs() as events:
        world.source.start()
        world.pass_time(120)
    assert world.source.unsynced == ("services", "endpointslices", "namespaces")
    assert len(world.server.log) < 3 * 12
    said = [one for one in events if "ClusterRole" in one["log_format"]]
    assert sorted((one["kind"], one["verb"]) for one in said) == [
        (kind, "watch") for kind in ("endpointslices", "namespaces", "services")
    ]
    assert not [one for one in events if "lost contact" in one["log_format"]]
    world.server.access.allow("dns", "list watch", "services endpointslices namespaces")
    world.pass_time(70)
    assert world.source.unsynced == ()
    world.close()


def test_a_restart_with_roles_that_are_read_late_heals_without_blaming_the_role():
    world = World()
    world.server.access.add_token("t", "dns")
    world.server.access.allow("dns", "list watch", "services endpointslices namespaces")
    world.source = LiveSource(
        ClusterAccess("http://api:6443", token=_secret("t")),
        world.store,
        reactor=world.clock,
        endpoints=world.server.endpoint(),
    )
    world.server.apply(an_object("Service", 1, 1))
    world.source.start()
    world.pass_time(5)
    with capturedLogs() as events:
        world.server.crash()
        world.pass_time(3)
        world.server.accept(roles_after=4.0)
        world.server.apply(an_object("Service", 2, 1))
        world.pass_time(60)
    assert 403 in {one.code for one in world.server.log}
    assert not [one for one in events if "ClusterRole" in one["log_format"]]
    assert world.held("services") == world.expected("services")
    world.close()


def _secret(text):
    from k8sdns.cluster.access import Secret

    return Secret(text)


def test_an_outage_leaves_what_is_known_and_marks_it_stale():
    world = World()
    world.server.apply(an_object("Service", 1, 1))
    world.source.start()
    world.pass_time(2)
    world.server.refuse()
    world.server.disconnect()
    world.pass_time(300)
    assert world.held("services") == world.expected("services")
    assert world.store.is_stale("services")
    assert world.source.lag("services") >= 300
    world.server.accept()
    world.server.apply(an_object("Service", 2, 1))
    world.pass_time(61)
    assert world.held("services") == world.expected("services")
    assert not any(map(world.store.is_stale, KINDS))
    assert world.source.lag("services") <= 61
    assert world.server.log.of("list") == []
    world.close()


def test_what_went_away_in_an_outage_is_swept_in_steps():
    world = World()
    many = 5 * SWEPT_AT_ONCE // 2
    for number in range(many):
        world.server.apply(an_object("Service", number, 1))
    world.source.start()
    world.pass_time(2)
    steps, sweep = [], world.store.sweep

    def counted(kind):
        before = world.store.objects(kind)
        left = sweep(kind)
        steps.append(before - world.store.objects(kind))
        return left

    world.store.sweep = counted
    world.server.disconnect()
    for number in range(1, many):
        world.server.delete("Service", "shop", f"n{number}")
    world.server.compact()
    world.pass_time(30)
    assert world.held("services") == world.expected("services")
    assert max(steps) == SWEPT_AT_ONCE
    assert sum(steps) == many - 1
    world.close()


def test_a_sweep_that_is_cut_short_leaves_no_timer():
    world = World()
    for number in range(3 * SWEPT_AT_ONCE):
        world.server.apply(an_object("Service", number, 1))
    world.source.start()
    world.pass_time(2)
    watch = world.source.watches["services"]
    world.store.listing("services")
    watch.perform([Finish()])
    assert not watch.is_watching
    world.source.stop()
    world.server.stop()
    world.pass_time(1)
    assert world.clock.getDelayedCalls() == []
    assert world.store.objects("services") == 2 * SWEPT_AT_ONCE


def test_a_broken_object_keeps_its_last_good_form_through_a_relist():
    world = World()
    world.server.apply(an_object("Service", 1, 1))
    world.server.apply(an_object("Service", 2, 1))
    world.source.start()
    world.pass_time(2)
    good = world.held("services")
    broken = an_object("Service", 1, 2)
    broken["spec"]["ports"] = [{"port": "http"}]
    world.server.apply(broken)
    world.pass_time(2)
    world.server.conduct.watch_list = False
    world.server.compact()
    world.server.disconnect()
    world.server.delete("Service", "shop", "n2")
    world.server.compact()
    world.pass_time(30)
    watch = world.source.watches["services"]
    assert watch.listings >= 2
    assert watch.unreadable >= 2
    assert world.held("services") == {("shop", "n1"): good["shop", "n1"]}
    world.close()


def test_requests_carry_selectors_and_who_we_are():
    world = World()
    world.source = LiveSource(
        ClusterAccess("http://api:6443"),
        world.store,
        reactor=world.clock,
        kinds=("services", "pods", "namespaces"),
        label_selector="app in (a,b)",
        namespace_label_selector="env=prod",
        endpoints=world.server.endpoint(),
    )
    world.source.start()
    world.pass_time(2)
    asked = {seen.resource: seen for seen in world.server.log}
    assert asked["services"].query["labelSelector"] == "app in (a,b)"
    assert asked["pods"].query["labelSelector"] == "app in (a,b)"
    assert asked["pods"].query["fieldSelector"].startswith("status.phase!=Succeeded,")
    assert asked["namespaces"].query["labelSelector"] == "env=prod"
    assert "fieldSelector" not in asked["services"].query
    assert asked["services"].agent.startswith("k8sdns/")
    assert asked["services"].accept == "application/json"
    world.close()


@pytest.mark.parametrize("watch_list", [True, False])
def test_a_listing_cut_after_any_octet_loses_nothing(watch_list):
    for after in range(0, 1500, 13):
        world = World()
        world.server.conduct.watch_list = watch_list
        for number in (0, 1, 9):
            world.server.apply(an_object("Service", number, 0))
        world.source.start()
        world.pass_time(4)
        world.server.faults.cut(after, "close", resource="services", times=2)
        world.server.delete("Service", "shop", "n0")
        world.server.compact()
        world.server.disconnect()
        world.server.delete("Service", "shop", "n1")
        world.server.compact()
        world.pass_time(20)
        assert world.losses == []
        assert world.held("services") == world.expected("services")
        world.close()


def test_a_watch_whose_peer_fell_silent_is_given_up_after_its_time():
    world = World()
    world.server.faults.half_open(1200, resource="services", times=1)
    world.source.start()
    world.pass_time(2)
    assert world.source.unsynced == ()
    for number in range(9):
        world.server.apply(an_object("Service", number, 0))
        world.pass_time(1)
    assert world.held("services") != world.expected("services")
    world.pass_time(640, step=1)
    assert world.held("services") == world.expected("services")
    world.close()


class Switch:
    """An endpoint factory whose server can be exchanged, as behind one address."""

    def __init__(self, server):
        self.server = server

    def endpointForURI(self, uri):
        return self.server.endpoint()


@pytest.mark.parametrize("watch_list", [True, False])
@pytest.mark.parametrize("changes", [0, 60])
def test_a_server_restored_from_an_older_backup_is_followed(watch_list, changes):
    world = World()
    switch = Switch(world.server)
    world.source = LiveSource(
        ClusterAccess("http://api:6443"), world.store, reactor=world.clock, endpoints=switch
    )
    for number in range(30):
        world.server.apply(an_object("Service", number, 1))
    world.source.start()
    world.pass_time(2)
    old, world.server = world.server, FakeApiServer(world.clock, world.clock)
    switch.server = world.server
    world.server.conduct.watch_list = watch_list
    world.server.apply(an_object("Service", 3, 2))
    for change in range(changes):
        world.server.apply(an_object("Service", 4, change % 3))
    old.stop()
    world.pass_time(90)
    # A version that the new server has too cannot be told from its own; client-go cannot either.
    if changes == 0:
        assert world.held("services") == world.expected("services")
    assert world.source.unsynced == ()
    assert not world.store.is_stale("services")
    world.close()


def a_pod(name, **more):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", **more},
        "status": {"phase": "Running", "podIP": "10.2.0.1"},
    }


def test_a_pod_on_its_way_out_is_served_until_it_is_gone_and_never_begun():
    world = World()
    world.source = LiveSource(
        ClusterAccess("http://api:6443"),
        world.store,
        reactor=world.clock,
        kinds=("pods",),
        endpoints=world.server.endpoint(),
    )
    world.server.apply(a_pod("old"))
    world.source.start()
    world.pass_time(2)
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    world.server.apply(a_pod("old", **ending))
    world.server.apply(a_pod("late", **ending))
    world.pass_time(2)
    world.server.compact()
    world.server.disconnect()
    world.server.apply(a_pod("new"))
    world.server.compact()
    world.pass_time(20)
    assert {pod.name for pod in world.store.things("pods")} == {"old", "new"}
    world.server.delete("Pod", "shop", "old")
    world.pass_time(2)
    assert {pod.name for pod in world.store.things("pods")} == {"new"}
    world.close()


def test_losing_and_regaining_contact_are_said_once_each():
    from twisted.logger import formatEvent, globalLogPublisher

    said = []
    globalLogPublisher.addObserver(said.append)
    try:
        world = World()
        world.source.start()
        world.pass_time(2)
        world.server.refuse()
        world.server.disconnect()
        world.pass_time(200)
        world.server.accept()
        world.pass_time(70)
        world.close()
    finally:
        globalLogPublisher.removeObserver(said.append)
    lines = [formatEvent(event) for event in said]
    assert len([line for line in lines if "services: lost contact" in line]) == 1
    assert len([line for line in lines if "services: contact" in line and "back" in line]) == 1


def test_metrics_count_answers_failures_and_waiting():
    world = World()
    world.source.start()
    world.pass_time(2)
    requests = world.metrics.counter(REST_REQUESTS)
    assert requests["200", "GET", "api:6443"] == 3
    world.server.refuse()
    world.server.disconnect()
    world.pass_time(60)
    assert requests["<error>", "GET", "api:6443"] > 3
    for histogram in (REST_REQUEST_DURATION, REST_LIMITER_DURATION):
        counts = world.metrics.histogram(histogram).counts["GET", "api:6443"]
        assert sum(counts) == sum(requests.values())
    world.close()


def test_requests_are_spread_by_the_rate_limit():
    world = World()
    world.source = LiveSource(
        ClusterAccess("http://api:6443"),
        world.store,
        reactor=world.clock,
        qps=0.5,
        burst=1,
        max_inflight=1,
        endpoints=world.server.endpoint(),
    )
    world.source.start()
    world.pass_time(1)
    assert len(world.server.log) == 1
    world.pass_time(2)
    assert len(world.server.log) == 2
    world.pass_time(2)
    assert world.source.unsynced == ()
    world.close()
