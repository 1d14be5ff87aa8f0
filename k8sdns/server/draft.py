"""A server block while its directives install themselves.

Owns what the directives of one block share until the block is made. A directive gets this as
`block` in `install` and `connect`: it adds things, and finds others' things by interface.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from k8sdns.answers import Answer, Question
from k8sdns.interfaces import IAuthority, ILookup
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import Answered, ServerBlock
from k8sdns.server.carried import Share
from k8sdns.server.stream import StreamLimits


@implementer(ILookup)
class Lookup:
    """Asks the server that a question came in by; the same object serves every block."""

    def lookup(self, question: Question, qname: bytes, qtype: int) -> Answered:
        """Answer (qname, qtype) from the top of the listener's routing."""
        answered: Answer = question.server.lookup(question, qname, qtype)
        return answered


ALONE, PARENT, WORKER, FEEDER = "alone", "parent", "worker", "feeder"
REHEARSAL = "rehearsal"  # builds all that ALONE does, to see whether it can, and starts nothing


class Context(NamedTuple):
    """What every block of a server has from outside."""

    reactor: Any  # the reactor: time, sockets, processes, threads
    clock: IReactorTime
    metrics: Metrics
    share: Share  # what outlives a reload, by the settings that it came from
    halt: Callable[[str], None]  # log a message and end the process: serving makes no sense
    plan: Any  # what is being built
    reloads: Any = None  # looks whether the Corefile changed, see `k8sdns.reloading`
    role: str = ALONE  # which part of the work this process does
    feed: Any = None  # of a worker `k8sdns.cluster.fed.Fed`, of the feeder `….feeding.Feeding`
    things: tuple[Any, ...] = ()  # what every block is to have besides what directives add


class BlockDraft:
    """One block under construction.

    `zones` are the block's zones as wire names, in the order of its keys; `server_names` the
    listeners it is served by, as the `server` label of metrics says them (``dns://:53``).
    """

    def __init__(
        self, context: Context, zones: tuple[bytes, ...], server_names: tuple[str, ...] = ()
    ) -> None:
        self.context = context
        self.zones = zones
        self.server_names = server_names
        self.served: tuple[tuple[str, bytes], ...] = ()  # each server name with each zone it has
        self.lookup: Any = Lookup()
        self.root = Path()
        self.bind: list[str] = []
        self.is_debugged = False
        self.serves_any_class = False
        self.stream_limits: StreamLimits | None = None
        self.https_connections: int | None = None
        self.payload_size: int | None = None
        self.words: list[str] = []  # of the directives installed so far, in plugin order
        self._things: list[Any] = []
        self._replaced: set[int] = set()

    def add(self, thing: Any) -> None:
        """File `thing` under each interface that it provides; order is the plugin order."""
        self._things.append(thing)

    def all(self, interface: Any) -> list[Any]:
        """Return what provides `interface` so far in plugin order, without replaced authorities."""
        found = [thing for thing in self._things if interface.providedBy(thing)]
        if interface.isOrExtends(IAuthority):
            found = [thing for thing in found if id(thing) not in self._replaced]
        return found

    def replace(self, authority: Any, by: Any) -> None:
        """Have `by` answer in the place of `authority`: `cache` wraps what goes to the network so.

        Whatever else `authority` provides (a service to start, readiness) it goes on providing.
        """
        self._things.insert(self._things.index(authority), by)
        self._replaced.add(id(authority))

    def path(self, name: str) -> Path:
        """Return a file's path; a relative one is below `root`."""
        return self.root / name

    def made(self) -> ServerBlock:
        """Return the block that the things come to."""
        panics = self.context.metrics.counter(PANICS)
        things, authorities = self._things, self.all(IAuthority)
        return ServerBlock(things, panics, self.words, self.payload_size, authorities)
