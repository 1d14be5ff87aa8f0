"""A generation built and started upon a clock and a network of the imagination.

Owns what stands in for the reactor's side of `k8sdns.assemble.build`.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from k8sdns import assemble
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.metrics import Metrics
from k8sdns.plan import Plan
from k8sdns.running import Generation
from k8sdns.server.carried import Carried
from k8sdns.server.draft import Context
from k8sdns.testing.network import FakeNetwork


def started(
    planned: Plan,
    network: FakeNetwork,
    metrics: Metrics,
    randomness: Randomness,
    halt: Callable[[str], None],
) -> Generation:
    """Return what a plan comes to, its services running; the network's reactor is the clock."""
    share = Carried().share()
    reactor = network.reactor
    share.take(("surroundings", ""), lambda: Surroundings(reactor, reactor, network, randomness))
    context = Context(reactor, reactor, metrics, share, halt, planned)
    generation = assemble.generate(planned, context)
    Deferred.fromCoroutine(share.start())
    for service in generation.services:
        service.privilegedStartService()
        service.startService()
    return generation
