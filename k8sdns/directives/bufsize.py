"""``bufsize``: the longest reply over UDP (CoreDNS plugin/bufsize)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.server.draft import BlockDraft
from k8sdns.wire.edns import DEFAULT_PAYLOAD


@dataclass(frozen=True)
class Settings:
    """Bounds replies over UDP, whatever size the client says it can take."""

    size: int = argument(
        kinds.integer(512, 4096, name="SIZE"),
        default=DEFAULT_PAYLOAD,
        help="Octets of the longest reply; our OPT record says it too.",
    )


def install(settings: Settings, block: BlockDraft) -> None:
    """Set the block's limit; the writer keeps it."""
    block.payload_size = settings.size


DIRECTIVE = Directive("bufsize", Settings, install=install, summary="Bound replies over UDP.")
