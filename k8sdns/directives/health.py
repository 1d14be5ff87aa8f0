"""``health``: a page that says that the process runs (CoreDNS plugin/health)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, option
from k8sdns.server import sockets
from k8sdns.server.draft import BlockDraft
from k8sdns.web.health import Health, Lameduck
from k8sdns.web.sites import listener_at


@dataclass(frozen=True)
class Settings:
    """Answers ``GET /health`` with 200 and OK as long as the process runs."""

    address: kinds.Listen = argument(  # noqa: RUF009
        kinds.listen(), default=kinds.Listen("", 8080), help="Where to listen."
    )
    lameduck: float = option(
        kinds.duration(0),
        default=0.0,
        help="How long to go on, healthy and answering, once the process is told to end.",
    )


def install(settings: Settings, block: BlockDraft) -> None:
    """Put the page up; without its socket the server does not start."""
    context = block.context
    listener = listener_at(settings.address, context, sockets.open_streams)
    listener.needed_by = "health"
    context.share.take(
        ("health", settings.address), lambda: Health(listener, context.reactor, context.metrics)
    )
    if settings.lameduck:
        block.add(Lameduck(settings.lameduck, context.clock))


DIRECTIVE = Directive(
    "health", Settings, install=install, roles=("parent",), summary="The health page of probes."
)
