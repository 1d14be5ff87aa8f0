"""``local``: names of the local host (CoreDNS plugin/local)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.authorities.local import LocalNames
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, option
from k8sdns.metrics import LOCAL_LOCALHOST
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Answers for localhost and the networks 0, 127 and 255, so that nobody else is asked."""

    localhost_prefix: str = option(
        kinds.choice("on", "off"),
        default="on",
        help="Answer `localhost.` in front of any other name too, as search paths put it there.",
    )


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    counter = block.context.metrics.counter(LOCAL_LOCALHOST)
    block.add(LocalNames(counter.add, with_prefix=settings.localhost_prefix == "on"))


DIRECTIVE = Directive("local", Settings, install=install, summary="Names of the local host.")
