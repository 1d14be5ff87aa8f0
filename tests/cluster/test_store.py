"""What the store promises its sources and its readers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from zope.interface.verify import verifyObject

from k8sdns.cluster.model import (
    KINDS,
    Endpoint,
    EndpointSlice,
    Namespace,
    Pod,
    Port,
    Service,
    key_of,
    kind_of,
)
from k8sdns.cluster.store import SWEPT_AT_ONCE, Store, everything
from k8sdns.interfaces import ISink

HTTP = (Port("http", 80, "TCP"),)


def service(name: str = "web", **changes: Any) -> Service:
    fields: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "resource_version": "1",
        "type": "ClusterIP",
        "cluster_ips": ("10.96.0.7",),
        "external_name": "",
        "ports": HTTP,
        "external_ips": (),
    }
    return Service(**(fields | changes))


def piece(name: str = "web-a", ip: str = "10.244.0.1", **changes: Any) -> EndpointSlice:
    fields: dict[str, Any] = {
        "namespace": "default",
        "name": name,
        "service": "web",
        "resource_version": "1",
        "ports": HTTP,
        "endpoints": (Endpoint(ip, "", "", "", ""),),
        "triggered_at": None,
    }
    return EndpointSlice(**(fields | changes))


class Ear:
    """Remembers what a store announced."""

    def __init__(self, store: Store) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self.stop = store.subscribe(lambda *change: self.heard.append(change))


@pytest.fixture
def store() -> Store:
    return Store(clock=lambda: 1_000_000.5)


def test_it_is_a_sink(store: Store) -> None:
    verifyObject(ISink, store)


def test_services_are_found_by_name_label_and_address(store: Store) -> None:
    web = service(external_ips=("198.51.100.9",))
    store.upsert(web)
    assert store.services["default", "web"] is web
    assert store.services_in[b"default"][b"web"] is web
    assert store.service_at(b"default", b"web") is web
    assert store.service_at(b"nowhere", b"web") is None
    assert store.service_by_ip("10.96.0.7") is web
    assert store.services_by_external_ip("198.51.100.9") == (web,)
    store.delete("services", "default", "web")
    assert not store.services
    assert not store.services_in
    assert store.service_by_ip("10.96.0.7") is None


@pytest.mark.parametrize("name", ["Web", "wéb", "\ud800", "w" * 64, ""])
def test_a_name_that_no_question_can_hold_breaks_nothing(store: Store, name: str) -> None:
    store.upsert(service(name))
    store.upsert(Namespace(name, "1"))
    assert (store.services_in, store.namespace_at) == ({}, {})
    store.delete("services", "default", name)
    store.delete("namespaces", "", name)
    assert list(everything(store)) == []


def test_slices_come_by_service_and_by_address_in_order(store: Store) -> None:
    later, sooner = piece("web-b"), piece("web-a")
    store.upsert(later)
    store.upsert(sooner)
    assert store.slices_of("default", "web") == (sooner, later)
    assert store.slices_by_ip("10.244.0.1") == (sooner, later)
    store.delete("endpointslices", "default", "web-a")
    assert store.slices_by_ip("10.244.0.1") == (later,)


def test_a_slice_of_no_service_is_found_by_nobody(store: Store) -> None:
    store.upsert(piece(service=""))
    assert store.slices_by_ip("10.244.0.1") == ()
    store.delete("endpointslices", "default", "web-a")
    assert store.objects("endpointslices") == 0


def test_pods_that_share_the_host_network_are_told_apart_by_namespace(store: Store) -> None:
    one, two = Pod("a", "agent", "1", "172.18.0.3"), Pod("b", "proxy", "1", "172.18.0.3")
    store.upsert(two)
    store.upsert(one)
    assert store.pod_by_ip("b", "172.18.0.3") is two
    assert store.client_pod("172.18.0.3") is one
    assert store.pod_by_ip("c", "172.18.0.3") is None


def test_an_object_that_answers_the_same_is_kept_but_not_announced(store: Store) -> None:
    for thing in (service(), piece(), Pod("a", "p", "1", "10.0.0.1"), Namespace("a", "1")):
        store.upsert(thing)
    serial, ear = store.serial, Ear(store)
    newer = service(resource_version="2")
    store.upsert(newer)
    store.upsert(piece(resource_version="2", triggered_at=5.0))
    store.upsert(Pod("a", "p", "2", "10.0.0.1"))
    store.upsert(Namespace("a", "2"))
    assert ear.heard == []
    assert store.serial == serial
    assert store.service_by_ip("10.96.0.7") is newer


@pytest.mark.parametrize(
    "change",
    [
        {"type": "NodePort"},
        {"cluster_ips": ("10.96.0.8",)},
        {"external_name": "example.org"},
        {"ports": ()},
        {"external_ips": ("198.51.100.1",)},
    ],
)
def test_each_visible_field_of_a_service_moves_the_serial(
    store: Store, change: dict[str, Any]
) -> None:
    store.upsert(service())
    before, ear = store.serial, Ear(store)
    store.upsert(service(**change))
    assert store.serial == before + 1
    assert ear.heard == [("services", "default", "web")]


def test_a_slice_that_moves_is_announced_for_both_services(store: Store) -> None:
    store.upsert(piece())
    ear = Ear(store)
    store.upsert(piece(service="api"))
    assert ear.heard == [
        ("endpointslices", "default", "api"),
        ("endpointslices", "default", "web"),
    ]
    assert store.slices_of("default", "web") == ()


def test_namespaces_are_announced_but_move_no_serial(store: Store) -> None:
    ear = Ear(store)
    store.upsert(Namespace("shop", "1"))
    store.delete("namespaces", "", "shop")
    assert ear.heard == [("namespaces", "", "shop")] * 2
    assert store.serial == 0


def test_a_subscription_ends(store: Store) -> None:
    ear = Ear(store)
    ear.stop()
    store.upsert(service())
    assert ear.heard == []


def test_timed_slices_are_shown_to_observers_when_they_change(store: Store) -> None:
    seen: list[EndpointSlice] = []
    store.observe_slices(seen.append)
    timed = piece(triggered_at=3.0)
    store.upsert(piece("web-b"))
    store.upsert(timed)
    store.upsert(piece(triggered_at=4.0, resource_version="2"))
    assert seen == [timed]


def test_the_serial_is_the_time_of_the_change_and_never_goes_back() -> None:
    now = [1_000.9]
    store = Store(clock=lambda: now[0])
    assert store.serial == 0
    store.upsert(service())
    now[0] = 5_000.0
    assert store.serial == 1_000
    store.upsert(service("api"))
    assert store.serial == 5_000
    now[0] = 10.0
    store.upsert(service("db"))
    assert store.serial == 5_001
    assert store.serial == 5_001


def test_the_external_serial_moves_for_what_is_seen_from_outside_only(store: Store) -> None:
    store.upsert(service())
    store.upsert(piece())
    assert store.external_serial == 0
    store.upsert(service(external_ips=("198.51.100.1",)))
    first = store.external_serial
    store.upsert(service(cluster_ips=("None",)))
    store.upsert(piece(ip="10.244.0.2"))
    assert 0 < first < store.external_serial


def test_a_sweep_goes_in_steps_and_spares_what_comes_back(store: Store) -> None:
    for number in range(2 * SWEPT_AT_ONCE):
        store.upsert(service(f"s{number}"))
    store.listing("services")
    store.upsert(service("named"))
    assert store.sweep("services")
    assert store.objects("services") == SWEPT_AT_ONCE + 1
    left = [key for key in store.keys("services") if key[1] != "named"]
    store.upsert(service(left[0][1]))
    while store.sweep("services"):
        pass
    store.listed("services")
    assert set(store.keys("services")) == {("default", "named"), left[0]}
    assert not store.sweep("services")


def test_a_listing_sweeps_what_it_does_not_name(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.upsert(service(name))
    ear = Ear(store)
    store.listing("services")
    store.upsert(service("a"))
    store.delete("services", "default", "b")
    store.upsert(service("d"))
    assert {name for _, name in store.services} == {"a", "c", "d"}
    store.listed("services")
    assert {name for _, name in store.services} == {"a", "d"}
    assert ("services", "default", "a") not in ear.heard


def test_kinds_are_synced_by_their_first_listing(store: Store) -> None:
    calls: list[str] = []
    store.when_synced(("services", "namespaces"), lambda: calls.append("both"))
    store.listing("services")
    store.listed("services")
    assert store.synced == {"services"}
    assert calls == []
    store.listing("namespaces")
    store.listed("namespaces")
    store.listed("namespaces")
    assert calls == ["both"]
    store.when_synced(("services",), lambda: calls.append("at once"))
    assert calls == ["both", "at once"]
    assert not store.is_synced(KINDS)


def test_a_lost_source_takes_nothing_away(store: Store) -> None:
    store.upsert(service())
    store.stale("services")
    assert store.is_stale("services")
    assert store.objects("services") == 1
    store.upsert(service("api"))
    assert not store.is_stale("services")


names = st.sampled_from(["a", "b"])
ips = st.sampled_from(["10.0.0.1", "10.0.0.2", "None"])
ports = st.sampled_from([(), HTTP])
services = st.builds(
    Service,
    namespace=names,
    name=names,
    resource_version=names,
    type=st.just("ClusterIP"),
    cluster_ips=st.lists(ips, max_size=2).map(tuple),
    external_name=st.just(""),
    ports=ports,
    external_ips=st.lists(ips, max_size=2).map(tuple),
)
endpoints = st.builds(
    Endpoint,
    address=ips,
    hostname=names,
    target=names,
    node=st.just(""),
    zone=st.just(""),
)
slices = st.builds(
    EndpointSlice,
    namespace=names,
    name=names,
    service=st.sampled_from(["a", "b", ""]),
    resource_version=names,
    ports=ports,
    endpoints=st.lists(endpoints, max_size=2).map(tuple),
    triggered_at=st.none(),
)
pods = st.builds(Pod, namespace=names, name=names, resource_version=names, ip=ips)
spaces = st.builds(Namespace, name=names, resource_version=names)
things = st.one_of(services, slices, pods, spaces)
steps = st.lists(
    st.one_of(
        things.map(lambda thing: ("upsert", thing)),
        things.map(lambda thing: ("delete", kind_of(thing), *key_of(thing))),
        st.tuples(st.sampled_from(["listing", "sweep", "listed", "stale"]), st.sampled_from(KINDS)),
    ),
    max_size=30,
)


def reading(store: Store) -> dict[str, Any]:
    """Everything that can be read from `store`, apart from the history: serials and syncs."""
    addresses = ["10.0.0.1", "10.0.0.2", "None"]
    return {
        "things": sorted(map(repr, everything(store))),
        "services_in": store.services_in,
        "namespace_at": store.namespace_at,
        "namespaces": store.namespaces,
        "slices": [store.slices_of(ns, name) for ns in "ab" for name in "ab"],
        "by ip": [
            (
                store.service_by_ip(ip),
                store.services_by_external_ip(ip),
                store.slices_by_ip(ip),
                store.client_pod(ip),
                [store.pod_by_ip(ns, ip) for ns in "ab"],
            )
            for ip in addresses
        ],
    }


@given(steps, st.randoms(use_true_random=False))
def test_any_history_ends_as_a_fresh_store_of_what_is_left(
    history: list[tuple[Any, ...]], shuffle: Any
) -> None:
    store = Store(clock=lambda: 1.0)
    for step, *arguments in history:
        getattr(store, step)(*arguments)
    left = list(everything(store))
    shuffle.shuffle(left)
    fresh = Store(clock=lambda: 1.0)
    for thing in left:
        fresh.upsert(thing)
    assert reading(store) == reading(fresh)
    for thing in left:
        store.delete(kind_of(thing), *key_of(thing))
    assert reading(store) == reading(Store())


@given(steps)
def test_whoever_listens_misses_nothing_that_an_answer_shows(
    history: list[tuple[Any, ...]],
) -> None:
    store = Store(clock=lambda: 1.0)
    dirty: set[tuple[str, str, str]] = set()
    store.subscribe(lambda *change: dirty.add(change))
    for step, *arguments in history:
        before = shown(store)
        dirty.clear()
        getattr(store, step)(*arguments)
        after = shown(store)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert changed == dirty


def shown(store: Store) -> dict[tuple[str, str, str], Any]:
    view: dict[tuple[str, str, str], Any] = {}
    for thing in everything(store):
        if isinstance(thing, Service):
            view["services", thing.namespace, thing.name] = (
                thing.cluster_ips,
                thing.ports,
                thing.external_ips,
            )
        elif isinstance(thing, EndpointSlice):
            key = ("endpointslices", thing.namespace, thing.service)
            view[key] = (*view.get(key, ()), (thing.name, thing.ports, thing.endpoints))
            view[key] = tuple(sorted(view[key], key=repr))
        elif isinstance(thing, Pod):
            view["pods", thing.namespace, thing.name] = thing.ip
        else:
            view["namespaces", "", thing.name] = True
    return view
