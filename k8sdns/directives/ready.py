"""``ready``: a page that says whether this server is ready (CoreDNS plugin/ready)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, option
from k8sdns.interfaces import IReadiness
from k8sdns.server import sockets
from k8sdns.server.draft import BlockDraft
from k8sdns.web.ready import CONTINUOUSLY, UNTIL_READY, Readiness, Ready
from k8sdns.web.sites import listener_at


@dataclass(frozen=True)
class Settings:
    """Answers ``GET /ready`` with 200 once everything in its blocks is ready, with 503 before."""

    address: kinds.Listen = argument(  # noqa: RUF009
        kinds.listen(), default=kinds.Listen("", 8181), help="Where to listen."
    )
    monitor: str = option(
        kinds.choice(UNTIL_READY, CONTINUOUSLY, complaint="monitor type '{}' not supported"),
        default=UNTIL_READY,
        help="Ask each part until it was ready once, or at every request.",
    )


def connect(settings: Settings, block: BlockDraft) -> None:
    """Count this block's reporters in; every page speaks for all blocks that have `ready`."""
    share = block.context.share
    # The share is a generation's own: a reload judges its reporters anew.
    readiness = share.take(("readiness", share), Readiness)
    readiness.monitor = settings.monitor
    readiness.watch(block.all(IReadiness))
    listener = listener_at(settings.address, block.context, sockets.open_streams)
    block.add(Ready(listener, readiness))


DIRECTIVE = Directive(
    "ready",
    Settings,
    install=None,
    connect=connect,
    roles=("parent",),
    summary="The readiness page of probes.",
)
