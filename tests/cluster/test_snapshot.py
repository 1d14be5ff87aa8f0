"""A copy of the cluster is whole or nothing, serves shortly and honestly, and goes in place."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings, strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.clusterauthority import STALE
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster import snapshot
from k8sdns.cluster.cluster import Cluster
from k8sdns.cluster.keeper import CHANGED_AFTER, QUIET_AFTER, SnapshotKeeper
from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Pod, Port, Service
from k8sdns.cluster.store import Store, everything
from k8sdns.metrics import STORE_SNAPSHOT_AGE, Metrics

KINDS = ("services", "endpointslices", "namespaces")
ZONE = names.from_text("cluster.local")
SHOP = Namespace("shop", "1")
HTTP = (Port("http", 80, "TCP"),)


def a_service(name, ip="10.0.0.1", type_="ClusterIP", target=""):
    return Service("shop", name, "1", type_, (ip,) if ip else (), target, HTTP, ())


def a_slice(service, *addresses):
    endpoints = tuple(Endpoint(each, "", "", "", "") for each in addresses)
    return EndpointSlice("shop", "s-" + service, service, "1", HTTP, endpoints, None)


THINGS = [
    SHOP,
    a_service("web"),
    a_service("db", "None"),
    a_slice("db", "10.1.0.1", "10.1.0.2"),
    a_service("out", "", "ExternalName", "db.shop.svc.cluster.local"),
]


class Life:
    """One life of a server: a store, its keeper, a source that says nothing by itself."""

    def __init__(self, path, now=1_700_000_000.0, *, scope="api", max_age=3600.0):
        self.clock = Clock()
        self.began = now
        self.store = Store(self.wall_clock)
        self.metrics = Metrics()
        self.keeper = SnapshotKeeper(
            self.store,
            str(path),
            self.metrics,
            max_age=max_age,
            kinds=KINDS,
            scope=scope,
            reactor=self.clock,
            wall_clock=self.wall_clock,
            in_thread=maybeDeferred,
        )
        self.cluster = Cluster(lambda _: self, self.store)
        self.cluster.keep_copy(self.keeper)
        self.cluster.startService()
        self.authority = KubernetesAuthority(self.store, [ZONE], ttl=30)

    def wall_clock(self):
        return self.began + self.clock.seconds()

    def start(self):
        pass

    def stop(self):
        pass

    def sync(self, things=THINGS):
        for kind in KINDS:
            self.store.listing(kind)
        for thing in things:
            self.store.upsert(thing)
        for kind in KINDS:
            self.store.listed(kind)

    def give_up_waiting(self):
        opened = self.cluster.synced(KINDS, self.clock, 5.0)
        for _ in range(12):
            self.clock.advance(0.5)
        assert opened.called

    def pass_time(self, seconds):
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def ask(self, name, qtype=records.A):
        return self.authority.answer(Question(names.from_text(name), qtype))

    @property
    def age(self):
        self.metrics.refresh()
        return self.metrics.gauge(STORE_SNAPSHOT_AGE)[()]


@pytest.fixture
def path(tmp_path):
    """Return the path of a copy that an earlier life left."""
    life = Life(tmp_path / "copy")
    life.sync()
    life.cluster.stopService()
    return tmp_path / "copy"


def test_a_start_without_an_api_server_serves_from_the_copy(path):
    life = Life(path, now=1_700_000_060.0)
    life.give_up_waiting()
    for name, rdata in (("web", b"\x0a\0\0\1"), ("db", b"\x0a\1\0\1"), ("out", None)):
        answer = life.ask(f"{name}.shop.svc.cluster.local")
        assert answer.rcode == records.NOERROR
        assert {record.ttl for record in answer.answer} == {5}
        assert STALE in answer.options
        assert rdata is None or rdata in [record.rdata for record in answer.answer]
    empty = life.ask("web.shop.svc.cluster.local", records.AAAA)
    assert (empty.rcode, empty.options) == (records.NOERROR, (STALE,))
    assert life.age == pytest.approx(66)


def test_what_the_copy_does_not_hold_is_never_denied(path):
    life = Life(path)
    life.give_up_waiting()
    for name in ("gone.shop.svc", "web.nowhere.svc", "a.db.shop.svc", "whatever"):
        assert life.ask(f"{name}.cluster.local").rcode == records.SERVFAIL


def test_the_first_sync_replaces_the_copy_in_place(path):
    life = Life(path)
    life.give_up_waiting()
    life.ask("web.shop.svc.cluster.local")
    life.sync([SHOP, a_service("web", "10.0.0.9")])
    answer = life.ask("web.shop.svc.cluster.local")
    assert [(r.rdata, r.ttl) for r in answer.answer] == [(b"\x0a\0\0\x09", 30)]
    assert answer.options == ()
    gone = life.ask("db.shop.svc.cluster.local")
    assert (gone.rcode, gone.options) == (records.NXDOMAIN, ())
    assert life.age == 0


def test_what_was_heard_already_beats_the_copy_and_a_listing_under_way_sweeps_it(path):
    life = Life(path)
    life.store.listing("services")
    life.store.upsert(a_service("web", "10.0.0.9"))
    life.give_up_waiting()
    assert life.store.get("services", "shop", "web").cluster_ips == ("10.0.0.9",)
    assert life.store.get("services", "shop", "db") is not None
    life.store.listed("services")
    assert life.store.get("services", "shop", "db") is None


def test_a_synced_start_never_touches_the_copy(path):
    life = Life(path)
    life.sync([SHOP])
    life.give_up_waiting()
    assert life.store.recalled_at is None
    assert life.ask("web.shop.svc.cluster.local").rcode == records.NXDOMAIN


def flipped(octets):
    return octets[:-5] + bytes([octets[-5] ^ 1]) + octets[-4:]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda octets: octets[:-1],
        lambda octets: b"",
        lambda octets: b"apiVersion: v1\n" * 9,
        lambda octets: octets[: len(snapshot.MAGIC) + 3],
    ],
)
def test_a_damaged_copy_is_not_served_from(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    life = Life(path)
    life.give_up_waiting()
    assert list(everything(life.store)) == []
    assert life.ask("web.shop.svc.cluster.local").rcode == records.SERVFAIL


@pytest.mark.parametrize("life", [{"now": 1_700_009_000.0}, {"scope": "another"}])
def test_a_copy_that_is_too_old_or_of_something_else_is_not_served_from(path, life):
    life = Life(path, **life)
    life.give_up_waiting()
    assert list(everything(life.store)) == []


def test_copies_follow_changes_and_stay_young_in_quiet_clusters(tmp_path):
    path = tmp_path / "copy"
    life = Life(path)
    life.pass_time(30)
    assert not path.exists()
    life.sync()
    life.pass_time(6)
    first = snapshot.header_of(snapshot.read(str(path))).true_at
    life.store.upsert(a_service("new"))
    life.pass_time(CHANGED_AFTER + 6)
    second = snapshot.header_of(snapshot.read(str(path))).true_at
    assert second > first
    life.pass_time(CHANGED_AFTER * 3)
    assert snapshot.header_of(snapshot.read(str(path))).true_at == second
    life.pass_time(QUIET_AFTER)
    third = snapshot.header_of(snapshot.read(str(path))).true_at
    assert third > second
    life.store.stale("services")
    life.store.upsert(Pod("shop", "p", "1", "10.1.0.9"))
    life.pass_time(QUIET_AFTER * 2)
    assert snapshot.header_of(snapshot.read(str(path))).true_at == third
    assert os.listdir(tmp_path) == ["copy"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_costs_a_line_and_nothing_else(tmp_path):
    life = Life(tmp_path / "nowhere" / "copy")
    life.sync()
    life.pass_time(CHANGED_AFTER * 3)
    assert life.ask("web.shop.svc.cluster.local").rcode == records.NOERROR
    done = life.cluster.stopService()
    assert isinstance(done, Deferred)
    assert done.called


texts = st.text(max_size=8)
ports = st.builds(Port, texts, st.integers(-1, 65535), texts)
endpoints = st.builds(Endpoint, texts, texts, texts, texts, texts)
things = st.lists(
    st.one_of(
        st.builds(Namespace, texts, texts),
        st.builds(Pod, texts, texts, texts, texts),
        st.builds(
            Service, texts, texts, texts, texts, st.tuples(texts), texts,
            st.tuples(ports), st.tuples(texts), st.booleans(),
        ),
        st.builds(
            EndpointSlice, texts, texts, texts, texts, st.tuples(ports),
            st.lists(endpoints, max_size=3).map(tuple), st.none() | st.floats(0, 9e9),
        ),
    ),
    max_size=12,
)  # fmt: skip


@given(things)
@settings(max_examples=50, deadline=None)
def test_a_copy_gives_back_what_was_put_in(tmp_path_factory, found):
    path = str(tmp_path_factory.mktemp("copy") / "copy")
    store = Store()
    for thing in found:
        store.upsert(thing)
    kinds = [(kind, list(store.things(kind))) for kind in (*KINDS, "pods")]
    snapshot.write(path, list(snapshot.frames(12.5, "s", kinds)))
    octets = snapshot.read(path)
    again = Store()
    for _kind, frame in snapshot.objects_of(octets):
        for thing in frame:
            again.recall(thing)
    assert sorted(map(repr, everything(again))) == sorted(map(repr, everything(store)))
    assert snapshot.header_of(octets).true_at == 12.5
