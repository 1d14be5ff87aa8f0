"""``metadata``: labels about queries, for other directives (CoreDNS plugin/metadata)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile.settings import Directive, block_zones
from k8sdns.interfaces import IMetadata, IMetadataCollector
from k8sdns.server.draft import BlockDraft
from k8sdns.server.metadata import Collector


@dataclass(frozen=True)
class Settings:
    """Collects what the directives of the block know about each query."""

    zones: tuple[bytes, ...] = block_zones(help="Names whose queries are described.")


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(Collector(settings.zones))


def connect(_settings: Settings, block: BlockDraft) -> None:
    """Find those who know something."""
    for collector in block.all(IMetadataCollector):
        collector.sources = tuple(block.all(IMetadata))


DIRECTIVE = Directive(
    "metadata",
    Settings,
    install=install,
    connect=connect,
    summary="Labels about queries, for other directives.",
)
