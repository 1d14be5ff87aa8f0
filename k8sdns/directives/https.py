"""``https``: limits of DNS over HTTPS (CoreDNS plugin/https)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, option
from k8sdns.server.draft import BlockDraft
from k8sdns.server.stream import StreamLimits
from k8sdns.web.doh import MAX_CONNECTIONS


@dataclass(frozen=True)
class Settings:
    """Bounds the block's ``https://`` listeners."""

    max_connections: int = option(
        kinds.integer(0, 65535),
        default=MAX_CONNECTIONS,
        help="Connections at once; 0 for as many as plain TCP has.",
    )


def install(settings: Settings, block: BlockDraft) -> None:
    """Set the bound of the block's listeners."""
    block.https_connections = settings.max_connections or StreamLimits().connections


DIRECTIVE = Directive("https", Settings, install=install, summary="Limits of DNS over HTTPS.")
