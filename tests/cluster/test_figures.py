"""What operators are shown of clusters: objects, lag, and how long changes took."""

from __future__ import annotations

import math

import pytest

from k8sdns.cluster.cluster import Cluster
from k8sdns.cluster.figures import Figures, observe_programming
from k8sdns.cluster.model import Endpoint, EndpointSlice, Service
from k8sdns.cluster.store import Store
from k8sdns.metrics import KUBERNETES_PROGRAMMING, STORE_LAG, STORE_OBJECTS, Metrics

NOW = 1_700_000_000.0


class Source:
    """A source that is as old as it is told."""

    def __init__(self, lags):
        self.lags = lags

    def lag(self, kind):
        return self.lags.get(kind)

    def start(self):
        pass

    def stop(self):
        pass


class Files:
    """A source that nothing proves the freshness of."""

    start = stop = lambda self: None


def a_service(name, ip="10.0.0.1", **more):
    return Service("shop", name, "1", "ClusterIP", (ip,), "", (), (), **more)


def a_slice(service, address, triggered_at=NOW - 0.25):
    endpoints = (Endpoint(address, "", "", "", ""),)
    return EndpointSlice("shop", "s-" + service, service, "1", (), endpoints, triggered_at)


def followed(figures, source, kinds=("services", "namespaces")):
    cluster = Cluster(lambda _: source, kinds=kinds, figures=figures)
    cluster.startService()
    return cluster


def test_objects_of_all_clusters_add_up_and_the_oldest_lag_is_shown():
    metrics = Metrics()
    figures = Figures(metrics)
    first = followed(figures, Source({"services": 2.0, "namespaces": 1.0}))
    second = followed(figures, Source({"services": 7.0, "namespaces": 0.5}))
    first.store.upsert(a_service("a"))
    second.store.upsert(a_service("b"))
    metrics.refresh()
    assert metrics.gauge(STORE_OBJECTS) == {("services",): 2, ("namespaces",): 0}
    assert metrics.gauge(STORE_LAG) == {("services",): 7.0, ("namespaces",): 1.0}
    second.stopService()
    metrics.refresh()
    assert metrics.gauge(STORE_OBJECTS)["services",] == 1
    assert metrics.gauge(STORE_LAG)["services",] == 2.0


def test_lag_is_infinite_before_the_first_sync_and_absent_where_nothing_proves_freshness():
    metrics = Metrics()
    figures = Figures(metrics)
    live = followed(figures, Source({}), ("services",))
    metrics.refresh()
    assert metrics.gauge(STORE_LAG) == {("services",): math.inf}
    live.stopService()
    followed(figures, Files(), ("services",))
    metrics.refresh()
    assert metrics.gauge(STORE_LAG) == {}
    assert metrics.gauge(STORE_OBJECTS) == {("services",): 0}


@pytest.mark.parametrize(
    ("service", "kind"),
    [
        (a_service("web"), "cluster_ip"),
        (a_service("web", "None"), "headless_with_selector"),
        (a_service("web", "None", has_selector=False), "headless_without_selector"),
    ],
)
def test_the_time_a_change_took_is_counted_by_kind_of_service(service, kind):
    metrics, store = Metrics(), Store(lambda: NOW)
    observe_programming(store, metrics, lambda: NOW)
    store.listing("endpointslices")
    store.upsert(a_slice("web", "10.1.0.1"))  # of the first listing: old news
    store.listed("endpointslices")
    store.upsert(service)
    store.upsert(a_slice("web", "10.1.0.2"))
    store.upsert(a_slice("nobody", "10.1.0.3"))
    store.upsert(a_slice("web", "10.1.0.4", None))
    histogram = metrics.histogram(KUBERNETES_PROGRAMMING)
    assert list(histogram.counts) == [(kind,)]
    assert histogram.sums[kind,] == 0.25
    assert histogram.bounds[:2] == (0.001, 0.002)
    assert histogram.bounds[-1] == pytest.approx(524.288)
