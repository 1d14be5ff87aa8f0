"""``multisocket``: answer with several processes, on all cores.

CoreDNS's opens several sockets for the threads of one process (plugin/multisocket); ours gives each
to a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.server.cores import worthwhile_processes
from k8sdns.server.draft import PARENT


@dataclass(frozen=True)
class Settings:
    """Answers with N worker processes that share the ports."""

    workers: int = argument(
        kinds.integer(1, 1024, name="N"),
        default=0,
        shown="as many as there are CPUs to use and memory for",
        help="How many workers; 1 is the ordinary single process.",
    )

    @property
    def processes(self) -> int:
        """How many processes are to answer."""
        return self.workers or worthwhile_processes()


DIRECTIVE = Directive(
    "multisocket",
    Settings,
    install=None,
    roles=(PARENT,),
    summary="Answer with several processes, on all cores.",
)
