"""The live source: a Kubernetes API server's objects into a sink, for as long as it runs.

Owns: which kinds are followed with which selectors, over one client. Refuses to know what the sink
is, which namespaces are served (the authority's answers decide that, as CoreDNS's do), and zones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IAgentEndpointFactory

from k8sdns.cluster.access import ClusterAccess
from k8sdns.cluster.client import ApiClient
from k8sdns.cluster.kind_watch import KindWatch
from k8sdns.cluster.model import Kind
from k8sdns.metrics import Metrics

DEFAULT_KINDS: tuple[Kind, ...] = ("services", "endpointslices", "namespaces")

# Finished pods have no name; the server leaves them out (CoreDNS).
RUNNING_PODS = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"


class LiveSource:
    """Follows `kinds` of the cluster behind `access` into `sink` (ISink).

    `label_selector` filters Services, EndpointSlices and Pods, `namespace_label_selector`
    Namespaces, both at the API server. `qps`, `burst` and `max_inflight` bound requests; 0 means
    client-go's default, or no bound for the last; they are counted in `metrics`. The reactor's
    clock must be monotonic.
    """

    def __init__(
        self,
        access: ClusterAccess,
        sink: Any,
        *,
        reactor: Any,
        kinds: Iterable[Kind] = DEFAULT_KINDS,
        label_selector: str = "",
        namespace_label_selector: str = "",
        qps: float = 0.0,
        burst: int = 0,
        max_inflight: int = 0,
        endpoints: IAgentEndpointFactory | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        # What is listed depends on this: a copy of another scope is of something else.
        self.scope = f"{access.server} {label_selector} {namespace_label_selector}"
        self.client = ApiClient(
            access,
            reactor,
            qps=qps,
            burst=burst,
            max_inflight=max_inflight,
            endpoints=endpoints,
            metrics=metrics,
        )
        self.watches: dict[Kind, KindWatch] = {
            kind: KindWatch(
                kind,
                self.client,
                sink,
                selectors_for(kind, label_selector, namespace_label_selector),
            )
            for kind in kinds
        }

    @property
    def unsynced(self) -> tuple[Kind, ...]:
        """The kinds whose first listing is not complete."""
        return tuple(kind for kind, watch in self.watches.items() if not watch.reflector.synced)

    def lag(self, kind: Kind) -> float | None:
        """Return the seconds since the server last proved that `kind` is up to date."""
        return self.watches[kind].lag()

    def start(self) -> None:
        """Begin to follow; returns at once."""
        for watch in self.watches.values():
            watch.start()

    def stop(self) -> Deferred[Any]:
        """Drop every request; fires when the connections are closed. The sink keeps what it has."""
        for watch in self.watches.values():
            watch.stop()
        return self.client.close()


def selectors_for(
    kind: Kind, label_selector: str, namespace_label_selector: str
) -> tuple[tuple[str, str], ...]:
    """Return the query parameters that filter `kind` at the API server."""
    labels = namespace_label_selector if kind == "namespaces" else label_selector
    selectors: tuple[tuple[str, str], ...] = (("labelSelector", labels),) if labels else ()
    if kind == "pods":
        selectors += (("fieldSelector", RUNNING_PODS),)
    return selectors
