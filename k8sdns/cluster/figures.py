"""What operators can see of clusters: how much is known, how fresh it is, how fast changes come.

Owns: the gauges of stores, and how long a change took from its beginning to the answers.
Refuses to know where objects come from, and how numbers are shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from k8sdns.cluster.model import EndpointSlice, Kind
from k8sdns.cluster.store import Store
from k8sdns.metrics import KUBERNETES_PROGRAMMING, STORE_LAG, STORE_OBJECTS, Metrics

if TYPE_CHECKING:
    from k8sdns.cluster.cluster import Cluster

CLUSTER_IP = "cluster_ip"
HEADLESS = "headless_with_selector"
HEADLESS_BY_HAND = "headless_without_selector"


class Figures:
    """The gauges of every cluster that is followed: counts add up, the oldest lag is shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._followed: dict[Cluster, tuple[Kind, ...]] = {}
        metrics.before_scrape(self._bring_up_to_date)

    def follow(self, cluster: Cluster, kinds: Iterable[Kind]) -> None:
        """Show `kinds` of a cluster from now on."""
        self._followed[cluster] = tuple(kinds)

    def forget(self, cluster: Cluster) -> None:
        """Show a cluster no longer."""
        self._followed.pop(cluster, None)

    def _bring_up_to_date(self) -> None:
        objects, lags = self._metrics.gauge(STORE_OBJECTS), self._metrics.gauge(STORE_LAG)
        objects.clear()
        lags.clear()
        for cluster, kinds in self._followed.items():
            for kind in kinds:
                objects.add(kind, by=cluster.store.objects(kind))
                if cluster.lag is not None:
                    lag = cluster.lag(kind)
                    lags[kind,] = max(lags[kind,], math.inf if lag is None else lag)


def observe_programming(
    store: Store, metrics: Metrics, wall_clock: Callable[[], float] = time.time
) -> None:
    """Measure how long each change of endpoints took to get here, in seconds.

    The change begins when Kubernetes says so (endpoints.kubernetes.io/last-change-trigger-time).
    What the first listing brings is old news and is not counted (kube-proxy does the same; CoreDNS
    counts it). Headless Services without a selector are a kind of their own, which CoreDNS lacks.
    """
    durations = metrics.histogram(KUBERNETES_PROGRAMMING)

    def observe(changed: EndpointSlice) -> None:
        if changed.triggered_at is None or not store.is_synced(("endpointslices",)):
            return
        kind = _kind_of_service(store, changed)
        if kind:
            durations.observe(max(0.0, wall_clock() - changed.triggered_at), kind)

    store.observe_slices(observe)


def _kind_of_service(store: Store, endpoints: EndpointSlice) -> str:
    """Return how the metric calls the Service of a slice; "" if there is none."""
    service = store.services.get((endpoints.namespace, endpoints.service))
    if service is None:
        return ""
    if not service.is_headless:
        return CLUSTER_IP
    return HEADLESS if service.has_selector else HEADLESS_BY_HAND
