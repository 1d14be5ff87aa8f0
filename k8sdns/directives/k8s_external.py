"""``k8s_external``: Services under other zones by their outside addresses (CoreDNS's plugin)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from k8sdns import names
from k8sdns.authorities.external import ExternalAuthority
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, block_zones, fallthrough, flag, option
from k8sdns.interfaces import IAuthority, IClusterView
from k8sdns.server.draft import BlockDraft


def _label(word: str) -> bytes:
    labels = names.labels_of(names.from_text(word))
    if len(labels) != 1:
        raise ValueError(f"'{word}' is not one label, such as dns")
    return labels[0]


@dataclass(frozen=True)
class Settings:
    """Answers for Services by their external IPs and load balancers, beside the cluster's zone."""

    zones: tuple[bytes, ...] = block_zones(
        help="The zones; the first that is no reverse zone is the suffix of PTR targets."
    )
    apex: bytes = option(
        kinds.of_text("LABEL", "one label", _label),
        default=b"dns",
        shown="dns",
        help="The label under which the zone's name server `ns1` stands.",
    )
    ttl: int = option(
        kinds.integer(0, 3600), default=5, help="TTL of the records, in seconds (0 to 3600)."
    )
    headless: bool = flag(help="Give names to endpoints of Services without outside addresses.")
    fallthrough: tuple[bytes, ...] = fallthrough()

    needs: ClassVar = ("kubernetes",)


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the authority."""
    block.add(
        ExternalAuthority(
            settings.zones,
            apex=settings.apex,
            ttl=settings.ttl,
            headless=settings.headless,
            fallthrough=settings.fallthrough,
            lookup=block.lookup,
        )
    )


def connect(_settings: Settings, block: BlockDraft) -> None:
    """Lend it the view of the block's cluster."""
    (cluster,) = block.all(IClusterView)
    for authority in _ours(block):
        authority.cluster = cluster


def _ours(block: BlockDraft) -> list[ExternalAuthority]:
    return [each for each in block.all(IAuthority) if isinstance(each, ExternalAuthority)]


DIRECTIVE = Directive(
    "k8s_external",
    Settings,
    install=install,
    connect=connect,
    summary="Services under other zones, by their outside addresses.",
)
