"""``kubernetes``: the names of a cluster, from its API server or from manifests.

The options are CoreDNS's (plugin/kubernetes/setup.go), those of v1.2.5 that CoreDNS refuses by
now included, and `manifests` with what belongs to it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from k8sdns import names
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.access import AccessError
from k8sdns.cluster.audit import Audit
from k8sdns.cluster.cluster import Cluster
from k8sdns.cluster.feed import Relay
from k8sdns.cluster.figures import Figures, observe_programming
from k8sdns.cluster.keeper import SnapshotKeeper
from k8sdns.cluster.live import LiveSource
from k8sdns.cluster.manifests import ManifestSource
from k8sdns.cluster.model import Kind
from k8sdns.cluster.selectors import BadSelector, parse_selector
from k8sdns.cluster.store import Store
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    Mistake,
    block_zones,
    counted,
    fallthrough,
    flag,
    option,
    options,
    parsed,
)
from k8sdns.corefile.values import convert
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IGate
from k8sdns.server import sockets
from k8sdns.server.draft import FEEDER, REHEARSAL, WORKER, BlockDraft, Context as Surroundings

AUDIT_PERIOD = 600.0  # seconds
log = Logger()

SNAPSHOT_MAX_AGE = 86400.0  # seconds

_REVERSE = (names.from_text("in-addr.arpa"), names.from_text("ip6.arpa"))


def _selector(line: Line, context: Context) -> str:
    """Read ``labels EXPRESSION``: the words are one expression, as CoreDNS joins them."""
    text = " ".join(token.text for token in counted(line, context, 1, None))
    try:
        parse_selector(text)
    except BadSelector as error:
        raise ValueError(str(error)) from None
    return text


def _endpoint(line: Line, context: Context) -> str:
    urls = counted(line, context, 1, None)
    if len(urls) > 1:
        context.warn(
            "Multiple endpoints have been deprecated, only the first specified endpoint "
            f"'{urls[0].text}' is used",
            line[0],
        )
    return urls[0].text


def _ignore(line: Line, context: Context) -> bool:
    words = counted(line, context, 0, None)
    for token in words:
        if token.text != "empty_service":
            raise ValueError(
                f"unable to parse ignore value: '{token.text}'; only empty_service can be ignored"
            )
    return bool(words)


def _audit(line: Line, context: Context) -> float:
    words = counted(line, context, 0, 1, "[PERIOD]")
    return float(convert(kinds.duration(1), words[0], context)) if words else AUDIT_PERIOD


@dataclass(frozen=True)
class Settings:
    """Answers for the names of a cluster: Services, endpoints and pods."""

    zones: tuple[bytes, ...] = block_zones(
        help="The cluster's zones; the first that is no reverse zone is the suffix of PTR targets."
    )
    manifests: tuple[str, ...] = options(
        kinds.path("PATH"),
        help="Serve these manifests (files, folders, globs) instead of an API server.",
    )
    simulate: str = option(
        kinds.choice("on", "off"),
        default="on",
        help="Play the controllers' part where manifests lack their output.",
    )
    service_cidr: tuple[str, ...] = options(
        kinds.text("CIDR"), help="Ranges of simulated cluster IPs, one a family."
    )
    pod_cidr: tuple[str, ...] = options(
        kinds.text("CIDR"), help="Ranges of simulated pod IPs, one a family."
    )
    endpoint: str = parsed(
        _endpoint,
        form="URL",
        default="",
        gathers=False,
        help="URL of the API server; in-cluster configuration without it.",
    )
    tls: tuple[str, str, str] | None = option(
        kinds.path("CERT"),
        kinds.path("KEY"),
        kinds.path("CACERT"),
        default=None,
        help="Client certificate, key and CA for `endpoint`.",
    )
    kubeconfig: tuple[str, ...] = option(
        kinds.path("FILE"),
        kinds.text("CONTEXT"),
        least=1,
        default=(),
        help="Kubeconfig file to reach the API server with; beats `endpoint`.",
    )
    apiserver_qps: float = option(
        kinds.number(0, name="QPS"), default=0.0, shown="5", help="Requests a second to the API."
    )
    apiserver_burst: int = option(
        kinds.integer(0), default=0, shown="10", help="Requests at once above that rate."
    )
    apiserver_max_inflight: int = option(
        kinds.integer(0), default=0, shown="no bound", help="Requests to the API under way at once."
    )
    namespaces: tuple[str, ...] = options(
        kinds.text("NAMESPACE"), help="Expose these namespaces only.", shown="all"
    )
    namespace_labels: str = parsed(
        _selector,
        form="EXPRESSION",
        default="",
        gathers=False,
        help="Expose namespaces with these labels only.",
    )
    labels: str = parsed(
        _selector,
        form="EXPRESSION",
        default="",
        gathers=False,
        help="Serve Services, EndpointSlices and Pods with these labels only.",
    )
    pods: str = option(
        kinds.choice(
            "disabled",
            "verified",
            "insecure",
            complaint="wrong value for pods: {},  must be one of: disabled, verified, insecure",
        ),
        default="disabled",
        help="Names of pods: none, those that exist, or any address.",
    )
    endpoint_pod_names: bool = flag(help="Name endpoints after their pods, not their addresses.")
    ttl: int = option(
        kinds.integer(0, 3600), default=5, help="TTL of the records, in seconds (0 to 3600)."
    )
    noendpoints: bool = flag(help="Follow no EndpointSlices; headless Services do not resolve.")
    ignore_empty_service: bool = parsed(
        _ignore,
        word="ignore",
        form="empty_service",
        default=False,
        gathers=False,
        help="Services without ready endpoints do not exist.",
        shown="off",
    )
    fallthrough: tuple[bytes, ...] = fallthrough()
    zonal: bool = flag(help="Serve the names that pin headless Services to a topology zone.")
    startup_timeout: float = option(
        kinds.duration(0), default=5.0, help="How long the start waits for the first sync."
    )
    audit: float = parsed(
        _audit,
        form="[PERIOD]",
        default=0.0,
        gathers=False,
        shown="off; PERIOD 10m",
        help="Compare with the API server's versions about so often; heal and count differences.",
    )
    snapshot: tuple[Any, ...] = option(
        kinds.path("FILE"),
        kinds.duration(1, name="MAX_AGE"),
        least=1,
        default=(),
        shown="off; MAX_AGE 24h",
        help="Keep a copy in FILE; serve from one not older while the API server is away at start.",
    )

    ACCEPTED: ClassVar = {
        "upstream": "is not needed: names outside the zone are always asked of this server itself",
        "resyncperiod": "is not needed: changes are followed, nothing is resynced periodically",
        "transfer": "is not used here: give the block a `transfer` directive to allow transfers",
    }
    REFUSED: ClassVar = {
        "multicluster": "is not supported: k8sdns serves one cluster's own Services",
    }

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        if all(_is_reverse(zone) for zone in self.zones):
            raise Mistake("non-reverse zone name must be used: add one such as cluster.local")
        if self.namespaces and self.namespace_labels:
            raise Mistake("namespaces and namespace_labels cannot both be set", "namespace_labels")
        if self.zonal and self.noendpoints:
            raise Mistake("zonal requires the endpoint cache; remove noendpoints", "zonal")
        for path in self.manifests:
            if not glob.has_magic(path) and not os.path.exists(path):
                raise Mistake(f"there is no file or folder {path}", "manifests")
        if self.manifests and (self.endpoint or self.kubeconfig):
            raise Mistake("manifests and an API server exclude each other", "manifests")
        if self.snapshot and not os.path.isdir(folder := os.path.dirname(self.snapshot[0])):
            raise Mistake(f"there is no folder {folder}", "snapshot")

    @property
    def watched(self) -> tuple[Kind, ...]:
        """The kinds of objects that are needed."""
        slices: tuple[Kind, ...] = () if self.noendpoints else ("endpointslices",)
        pods: tuple[Kind, ...] = ("pods",) if self.pods == "verified" else ()
        return ("services", *slices, *pods, "namespaces")


def _is_reverse(zone: bytes) -> bool:
    return any(names.is_subdomain(zone, reverse) for reverse in _REVERSE)


def _manifest_source(
    settings: Settings, context: Surroundings
) -> Callable[[Store], ManifestSource]:
    def make(store: Store) -> ManifestSource:
        return ManifestSource(
            settings.manifests,
            store,
            context.reactor,
            kinds=settings.watched,
            labels=parse_selector(settings.labels),
            namespace_labels=parse_selector(settings.namespace_labels),
            service_cidrs=settings.service_cidr,
            pod_cidrs=settings.pod_cidr,
            is_simulated=settings.simulate == "on",
        )

    return make


def _live_source(
    settings: Settings, context: Surroundings
) -> Callable[[Store], LiveSource | ManifestSource]:
    def make(store: Store) -> LiveSource | ManifestSource:
        if context.role == REHEARSAL and _needs_a_pod(settings):
            # A Corefile for pods is no worse for being checked outside of one.
            log.warn("not inside a Kubernetes pod: a start would be refused here")
            return _manifest_source(settings, context)(store)
        # Imported here: a server of manifests, and a worker, never load what it takes.
        from k8sdns.cluster.credentials import access_for  # noqa: PLC0415

        try:
            access = access_for(
                kubeconfig=settings.kubeconfig[0] if settings.kubeconfig else "",
                context=settings.kubeconfig[1] if len(settings.kubeconfig) > 1 else "",
                endpoint=settings.endpoint,
                tls=settings.tls,
                environ=os.environ,
            )
        except AccessError as error:
            raise ConfigurationError(f"plugin/kubernetes: {error}") from None
        observe_programming(store, context.metrics)
        return LiveSource(
            access,
            store,
            reactor=context.reactor,
            kinds=settings.watched,
            label_selector=settings.labels,
            namespace_label_selector=settings.namespace_labels,
            qps=settings.apiserver_qps,
            burst=settings.apiserver_burst,
            max_inflight=settings.apiserver_max_inflight,
            metrics=context.metrics,
        )

    return make


def _needs_a_pod(settings: Settings) -> bool:
    """Tell whether only a pod's service account would help."""
    found = ("KUBERNETES_SERVICE_HOST", "KUBECONFIG")
    return not (settings.kubeconfig or settings.endpoint or any(map(os.environ.get, found)))


def _source_key(settings: Settings) -> tuple[object, ...]:
    """Return what the watch depends on; the settings of answers (`ttl`, `pods` …) are not in it."""
    return (
        "cluster", settings.manifests, settings.simulate, settings.service_cidr, settings.pod_cidr,
        settings.endpoint, settings.tls, settings.kubeconfig, settings.apiserver_qps,
        settings.apiserver_burst, settings.apiserver_max_inflight, settings.labels,
        settings.namespace_labels, settings.watched, settings.audit,
        settings.snapshot,
    )  # fmt: skip


@implementer(IGate)
class _Start(Service):
    """Serving waits for the cluster; at the end the authority leaves the shared store."""

    def __init__(self, cluster: Cluster, authority: KubernetesAuthority | None, wait: Any) -> None:
        self._cluster = cluster
        self._authority = authority
        self._wait = wait

    def opened(self) -> Deferred[None]:
        """Fire once synced, or after `startup_timeout`."""
        waited: Deferred[None] = self._wait()
        return waited

    def stopService(self) -> None:
        """Let go of the store."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._authority is not None:
            self._authority.close()


def _cluster(settings: Settings, block: BlockDraft) -> Cluster:
    context = block.context
    figures = context.share.take("cluster figures", lambda: Figures(context.metrics))
    key = _source_key(settings)
    if context.role == WORKER:
        return Cluster(context.feed.source(key), kinds=settings.watched, figures=figures)
    make = _manifest_source if settings.manifests else _live_source
    # An audit finds the replicas of this server by their addresses.
    is_packed = not settings.audit
    store = Relay(is_packed=is_packed) if context.role == FEEDER else Store()
    cluster = Cluster(make(settings, context), store, kinds=settings.watched, figures=figures)
    if isinstance(store, Relay):
        cluster.accompany(context.feed.given_out(key, store))
    if settings.audit and not settings.manifests:
        audit = Audit(
            cluster.source,
            cluster.store,
            context.metrics,
            period=settings.audit,
            clock=context.clock,
            own_addresses=_local_addresses(block),
        )
        cluster.accompany(audit)
    if settings.snapshot and not settings.manifests:
        path, *max_age = settings.snapshot
        keeper = SnapshotKeeper(
            cluster.store,
            path,
            context.metrics,
            max_age=max_age[0] if max_age else SNAPSHOT_MAX_AGE,
            kinds=settings.watched,
            scope=cluster.source.scope,
            reactor=context.reactor,
        )
        cluster.keep_copy(keeper)
    return cluster


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the cluster's authority, fed by a source that blocks with equal settings share."""
    context = block.context
    cluster = context.share.take(_source_key(settings), lambda: _cluster(settings, block))

    def wait() -> Deferred[None]:
        return cluster.synced(settings.watched, context.clock, settings.startup_timeout)

    if context.role == FEEDER:
        block.add(_Start(cluster, None, wait))
        return
    authority = KubernetesAuthority(
        cluster.store,
        settings.zones,
        ttl=settings.ttl,
        pods=settings.pods,
        namespaces=frozenset(settings.namespaces) if settings.namespaces else None,
        endpoint_pod_names=settings.endpoint_pod_names,
        ignore_empty_service=settings.ignore_empty_service,
        noendpoints=settings.noendpoints,
        zonal=settings.zonal,
        fallthrough=settings.fallthrough,
        local_addresses=_local_addresses(block),
        lookup=block.lookup,
    )
    block.add(authority)
    block.add(_Start(cluster, authority, wait))


def _local_addresses(block: BlockDraft) -> list[str]:
    """Return the addresses that others reach this server by, for the NS records of the zone."""
    if block.bind:
        return [host for host in block.bind if not host.startswith(("127.", "::1"))]
    return sorted(sockets.all_own_addresses())


DIRECTIVE = Directive(
    "kubernetes",
    Settings,
    install=install,
    roles=(WORKER, FEEDER),
    summary="Names of a Kubernetes cluster, from its API server or from manifests.",
)
