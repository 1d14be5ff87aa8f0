"""``debug``: log debug lines (CoreDNS plugin/debug).

Unlike CoreDNS's, it does not let a bug in one query end the process; the traceback is logged
either way.
"""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns import logs
from k8sdns.corefile.settings import Directive
from k8sdns.server.draft import FEEDER, PARENT, WORKER, BlockDraft


@dataclass(frozen=True)
class Settings:
    """Logs what is of use when looking for a fault."""


def install(_settings: Settings, block: BlockDraft) -> None:
    """Turn on debug lines for the process."""
    block.is_debugged = True
    logs.observer().debug = True


DIRECTIVE = Directive(
    "debug",
    Settings,
    install=install,
    roles=(PARENT, WORKER, FEEDER),
    summary="Log debug lines.",
)
