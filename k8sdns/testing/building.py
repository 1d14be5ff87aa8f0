"""A generation built and started upon a clock and a network of the imagination.

Owns what stands in for the reactor's side of `k8sdns.assemble.build`: no sockets are opened, and
words that are the process's own affair (`health`, `ready`, `reload`, `multisocket`) are judged
with the rest of the Corefile and do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from k8sdns import assemble
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.metrics import Metrics
from k8sdns.plan import Plan, PlannedBlock
from k8sdns.running import Generation
from k8sdns.server.carried import Carried, Share
from k8sdns.server.draft import WORKER, Context
from k8sdns.testing.network import FakeNetwork
from k8sdns.web.queries import QueryTable
from k8sdns.web.sites import WebListener

T = TypeVar("T")


class PlayedShare(Share):
    """A share whose web listeners open nothing, so that `metrics` are all there is to read."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__(Carried())
        self._metrics = metrics

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the thing for `key`."""
        return super().take(key, lambda: self._played(make()))

    def _played(self, thing: T) -> T:
        if isinstance(thing, WebListener):
            thing.open_nothing()
        if isinstance(thing, QueryTable):
            self._metrics.before_scrape(thing.fold)
        return thing


def started(
    planned: Plan,
    network: FakeNetwork,
    metrics: Metrics,
    randomness: Randomness,
    halt: Callable[[str], None],
) -> Generation:
    """Return what a plan comes to, its services running; the network's reactor is the clock.

    Raises what a service raises that cannot start.
    """
    share = PlayedShare(metrics)
    reactor = network.reactor
    share.take(("surroundings", ""), lambda: Surroundings(reactor, network, randomness))
    planned = replace(planned, blocks=tuple(map(_answering, planned.blocks)))
    context = Context(reactor, reactor, metrics, share, halt, planned)
    generation = assemble.generate(planned, context)
    _start(Deferred.fromCoroutine(share.start()))
    for service in generation.services:
        service.privilegedStartService()
        service.startService()
    return generation


def _answering(block: PlannedBlock) -> PlannedBlock:
    kept = [pair for pair in block.directives if WORKER in pair[0].roles]
    return replace(block, directives=tuple(kept))


def _start(starting: Deferred[None]) -> None:
    """Raise what has failed by now; what takes time goes on as the clock does."""
    failures: list[Failure] = []
    starting.addErrback(failures.append)
    for failure in failures:
        failure.raiseException()
