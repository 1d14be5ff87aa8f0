"""``pprof``: profiles of the running process over HTTP (in the place of CoreDNS plugin/pprof)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.server import sockets
from k8sdns.server.draft import BlockDraft
from k8sdns.web.sites import Placed, listener_at


@dataclass(frozen=True)
class Settings:
    """Shows profiles of the process at ``/debug/pprof/``."""

    address: kinds.Listen = argument(  # noqa: RUF009
        kinds.listen(), default=kinds.Listen("localhost", 6053), help="Where to listen."
    )

    ACCEPTED: ClassVar = {"block": "is not needed: there are no goroutines that block"}


def install(settings: Settings, block: BlockDraft) -> None:
    """Put the pages up, once an address."""
    # Imported here: nobody else needs the profilers.
    from k8sdns.web.pprof import pages

    context = block.context
    listener = listener_at(settings.address, context, sockets.open_streams)
    context.share.take(
        ("pprof", settings.address), lambda: Placed(listener, pages(context.reactor))
    )


DIRECTIVE = Directive(
    "pprof",
    Settings,
    install=install,
    roles=("parent",),
    summary="Profiles of the process over HTTP.",
)
