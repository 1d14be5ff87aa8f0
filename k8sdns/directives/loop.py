"""``loop``: find out at the start whether an upstream leads back here (CoreDNS plugin/loop)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.authorities.loop import (
    LoopGuard,
    LoopProbes,
    halting,
    upstreams_behind,
    warn_only,
)
from k8sdns.corefile.settings import Directive, flag
from k8sdns.interfaces import IAuthority, IUpstreams
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Asks every upstream a question that must not come back; ends the process if it does."""

    quarantine: bool = flag(help="Take the looping upstream out of use instead, and go on.")


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the probes and what recognises them."""
    zone = block.zones[0]
    context = block.context
    found_later = warn_only(zone)
    found = found_later if settings.quarantine else halting(zone, context.halt)
    probes = LoopProbes(zone, context.clock, found, found_later)
    block.add(LoopGuard(probes))
    block.add(probes)


def connect(_settings: Settings, block: BlockDraft) -> None:
    """Tell the probes whom to ask."""
    (probes,) = (each for each in block.all(IAuthority) if isinstance(each, LoopGuard))
    for upstreams in upstreams_behind(block.all(IAuthority), IUpstreams):
        probes.look_at(upstreams)


DIRECTIVE = Directive(
    "loop",
    Settings,
    install=install,
    connect=connect,
    summary="Find upstreams that send our questions back to us.",
)
