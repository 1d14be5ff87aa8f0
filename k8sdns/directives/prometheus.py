"""``prometheus``: count queries, and a page of metrics (CoreDNS plugin/metrics)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from k8sdns import names
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, flag, option
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IRouting
from k8sdns.server import sockets
from k8sdns.server.draft import WORKER, BlockDraft, Context
from k8sdns.server.load import load_of
from k8sdns.server.tls import StreamSecurity, TlsFiles
from k8sdns.web import webconfig
from k8sdns.web.queries import QueryObserver, QueryTable
from k8sdns.web.sites import Placed, WebListener, listener_at

if TYPE_CHECKING:
    from k8sdns.metrics import Labels

# Words that set the server up and see no queries: coredns_plugin_enabled leaves them out.
_NO_PLUGINS = frozenset(
    {
        "bind", "debug", "grpc_server", "health", "https", "https3", "multisocket", "on", "pprof",
        "proxyproto", "quic", "ready", "reload", "root", "sign", "timeouts", "tls",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Counts the queries of its block and shows all metrics at ``/metrics``."""

    address: kinds.Listen = argument(  # noqa: RUF009
        kinds.listen(), default=kinds.Listen("localhost", 9153), help="Where to listen."
    )
    runtime_metrics: bool = flag(help="Show the Python runtime's metrics, too.")
    tls: str = option(
        kinds.path("FILE"),
        default="",
        help="Speak TLS, as a web configuration file of Prometheus's exporters says.",
    )


def connect(settings: Settings, block: BlockDraft) -> None:
    """Count the block's queries, and put the page up."""
    # Imported here: a server without metrics does not load the Prometheus client.
    from k8sdns.web.metrics import (
        PATH,
        Enabled,
        EnabledWhileRunning,
        MetricsPage,
        build_info,
    )

    context = block.context
    metrics = context.metrics
    metrics.begin()
    build_info(metrics)
    table = context.share.take(("query table",), lambda: _table(context))
    enabled = context.share.take(("plugins enabled",), lambda: Enabled(metrics))
    context.share.take(("load",), lambda: load_of(context.reactor, metrics))
    view = next((each.name for each in block.all(IRouting)), "")
    block.add(QueryObserver(table, view))
    block.add(EnabledWhileRunning(enabled, _enabled(block, view)))
    listener = _listener(settings, context)
    page = MetricsPage(metrics, table, context.reactor, with_runtime=settings.runtime_metrics)
    block.add(Placed(listener, {PATH: page}))


def _listener(settings: Settings, context: Context) -> WebListener:
    if not settings.tls:
        return listener_at(settings.address, context, sockets.open_streams)
    try:
        files = TlsFiles(*webconfig.read(settings.tls))
        # Carried with the listener: it goes on looking for new certificates.
        security = context.share.take(
            ("metrics tls", files), lambda: StreamSecurity(files, context.clock)
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"plugin/prometheus: {error}") from None
    return listener_at(
        settings.address, context, sockets.open_streams, security.secured, repr(files)
    )


def _table(context: Context) -> QueryTable:
    table = QueryTable(context.metrics)
    if context.role == WORKER:  # nobody scrapes a worker: its parent asks for what it counted
        context.metrics.before_scrape(table.fold)
    return table


def _enabled(block: BlockDraft, view: str) -> Iterator[Labels]:
    for server, zone in block.served:
        for word in block.words:
            if word not in _NO_PLUGINS:
                yield server, names.to_text(zone), view, word


DIRECTIVE = Directive(
    "prometheus",
    Settings,
    install=None,
    connect=connect,
    roles=("worker", "parent"),
    summary="Metrics for Prometheus.",
)
