"""A server of several processes, as its parent: sockets, children, pages, reloads, the end.

Owns what all children have in common. It reads no query: workers answer on the sockets that it
keeps open, and one feeder watches clusters for them. Refuses to know Corefiles and directives;
the pages of probes and metrics are a generation of its own, made by whoever made this.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

import k8sdns
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IReadiness
from k8sdns.metrics import WORKERS, Metrics
from k8sdns.plan import Plan
from k8sdns.reloading import Reloads
from k8sdns.running import Generate, Running
from k8sdns.server.draft import FEEDER, WORKER
from k8sdns.workers.child import Keeper
from k8sdns.workers.control import (
    Abort,
    Beat,
    Commit,
    Counted,
    Failed,
    Halt,
    Join,
    Place,
    Prepare,
    Report,
    Serving,
    Start,
    Wanted,
)
from k8sdns.workers.nursery import Nursery
from k8sdns.workers.silence import LOOK_EVERY
from k8sdns.workers.sockets import WorkerSockets
from k8sdns.workers.tallies import Gathered

log = Logger()


@implementer(IReadiness)
class WorkersReadiness:
    """Ready when every worker is; speaks for what the first one that is not waits for."""

    def __init__(self) -> None:
        self._waits: dict[Keeper, tuple[tuple[str, str], ...]] = {}

    def expect(self, worker: Keeper) -> None:
        """A worker that has to be ready, and is not yet."""
        self._waits[worker] = (("multisocket", f"{worker} to start"),)

    def told(self, worker: Keeper, waits_for: tuple[tuple[str, str], ...]) -> None:
        """A worker says what it waits for."""
        self._waits[worker] = waits_for

    @property
    def word(self) -> str:
        """The directive that is waited for, of one worker."""
        return next((waits[0][0] for waits in self._waits.values() if waits), "multisocket")

    def waits_for(self) -> str:
        """Return what is waited for."""
        found = {sentence: None for waits in self._waits.values() for _word, sentence in waits}
        return "; ".join(found)


class Supervisor:
    """The running object graph of a server of several workers (`k8sdns.service.Assembled`).

    `pages` serves the pages of this process, `generate_pages(plan)` makes their next generation.
    """

    def __init__(
        self,
        plan: Plan,
        reactor: Any,
        metrics: Metrics,
        pages: Running,
        generate_pages: Callable[[Plan], Generate],
        readiness: WorkersReadiness,
        halt: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._reactor = reactor
        self._metrics = metrics
        self._pages = pages
        self._generate_pages = generate_pages
        self._readiness = readiness
        self._halt = halt
        self._sockets = WorkerSockets(plan.processes)
        self._gathered = Gathered(metrics)
        self._nursery = Nursery(reactor)
        self._serving = metrics.gauge(WORKERS)
        self._workers = [self._keeper(WORKER, number) for number in range(plan.processes)]
        self._feeder = self._keeper(FEEDER, 0)
        self._looks = LoopingCall(self._look)
        self._looks.clock = reactor
        self._started: Deferred[None] = Deferred()
        self._asked: dict[Keeper, int] = {}
        self._asked_at: float | None = None
        self._reloads = 0

    def _keeper(self, role: str, number: int) -> Keeper:
        return Keeper(
            role,
            number,
            self._reactor,
            self._nursery,
            self._metrics,
            self._born,
            self._heard,
            self._gone,
        )

    @property
    def reloads(self) -> Reloads | None:
        """See `k8sdns.service.Assembled`."""
        return self._pages.reloads

    # -- the start and the end -------------------------------------------------------------------

    def privileged_start(self) -> None:
        """Bind every socket; raises ConfigurationError and opens nothing."""
        keys = self._plan.listeners
        opened = self._sockets.prepare(keys, keys)
        try:
            self._pages.privileged_start()
        except Exception:
            self._sockets.abandon(opened)
            raise
        self._sockets.commit(opened, keys)
        self._sockets.report(self._metrics)

    def start(self) -> Deferred[None]:
        """Start the pages and every process; fires once all workers answer."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        for worker in self._workers:
            self._readiness.expect(worker)
        await self._pages.start()
        self._looks.start(LOOK_EVERY, now=False)
        try:
            self._nursery.start()
        except OSError as error:
            # As the user that privileges were dropped to, perhaps.
            raise ConfigurationError(f"cannot start workers: {error}") from None
        if has_feeder(self._plan):
            self._feeder.start()
        for worker in self._workers:
            worker.start()
        await self._started

    def last_asked_at(self) -> float | None:
        """Return when the last question came, to a fraction of a second; None: never."""
        return self._asked_at

    def drain(self) -> Deferred[None]:
        """Tell the world that the end is near; questions are still answered."""
        return self._pages.drain()

    def stop(self) -> Deferred[None]:
        """End every process, close every socket."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._looks.running:
            self._looks.stop()
        await gatherResults([keeper.stop() for keeper in (*self._workers, self._feeder)])
        await self._nursery.stop()
        self._sockets.close()
        await self._pages.stop()

    # -- children --------------------------------------------------------------------------------

    def _look(self) -> None:
        for keeper in (*self._workers, self._feeder):
            keeper.look()

    def _born(self, keeper: Keeper) -> None:
        places: tuple[Place, ...] = ()
        descriptors: list[int] = []
        if keeper.role == WORKER:
            places, descriptors = self._sockets.of_worker(keeper.number)
        keeper.say(Start(wanted(self._plan, places), k8sdns.__version__), descriptors)
        for worker in [keeper] if keeper.role == WORKER else self._workers:
            self._join(worker)

    def _join(self, worker: Keeper) -> None:
        """Connect a worker and the feeder, once both are there."""
        if worker.child is None or self._feeder.child is None:
            return
        one, other = socket.socketpair()
        worker.child.join(one, Join())
        self._feeder.child.join(other, Join())

    def _heard(self, keeper: Keeper, report: Report) -> None:
        if isinstance(report, Beat):
            self._was_asked(keeper, report.asked)
            if keeper.role == WORKER:
                self._readiness.told(keeper, report.waits_for)
        elif isinstance(report, Counted):
            self._gathered.add(keeper, report)
        elif isinstance(report, Serving):
            self._serves(keeper)
        elif isinstance(report, Failed):
            self._failed(keeper, report.message)
        elif isinstance(report, Halt):
            self._halt(report.message)

    def _was_asked(self, keeper: Keeper, asked: int) -> None:
        if asked:
            if self._asked.get(keeper) != asked:
                self._asked_at = self._reactor.seconds()
            self._asked[keeper] = asked

    def _serves(self, keeper: Keeper) -> None:
        if keeper.child is not None:
            keeper.child.is_serving = True
        self._count_workers()
        if self._serving[()] == len(self._workers) and not self._started.called:
            self._started.callback(None)

    def _count_workers(self) -> None:
        children = [worker.child for worker in self._workers]
        self._serving[()] = sum(child is not None and child.is_serving for child in children)

    def _failed(self, keeper: Keeper, message: str) -> None:
        if self._started.called:
            log.error("{who} could not start: {message}", who=str(keeper), message=message)
        else:
            self._started.errback(ConfigurationError(message))

    def _gone(self, keeper: Keeper) -> None:
        self._gathered.forget(keeper)
        self._asked.pop(keeper, None)
        self._count_workers()

    # -- reload ----------------------------------------------------------------------------------

    async def reload(self, plan: Plan) -> None:
        """Have every process serve `plan`, or none; raises what one of them could not do."""
        if plan.processes != self._plan.processes:
            log.warn("the number of workers changes with the next restart, not with a reload")
        self._reloads += 1
        number = self._reloads
        keys = plan.listeners
        opened = self._sockets.prepare(keys, keys)
        try:
            await self._prepared(number, plan, opened)
            await self._pages.reload(self._generate_pages(plan))
        except BaseException:
            for keeper in (*self._workers, self._feeder):
                keeper.say(Abort(number))
            self._sockets.abandon(opened)
            raise
        self._plan = plan
        for keeper in (*self._workers, self._feeder):
            keeper.say(Commit(number))
        self._sockets.commit(opened, keys)

    async def _prepared(self, number: int, plan: Plan, opened: Any) -> None:
        if has_feeder(plan) and self._feeder.child is None:
            raise ConfigurationError("there is no feeder now: the next try may find one")
        if self._feeder.child is not None:
            await self._feeder.child.agree(Prepare(number, wanted(plan)), ())
        agreements = []
        for worker in self._workers:
            if worker.child is None or not worker.child.is_serving:
                raise ConfigurationError(f"{worker} is being replaced: the next try may find it")
            places, descriptors = self._sockets.of_worker(worker.number, opened)
            order = Prepare(number, wanted(plan, places))
            agreements.append(worker.child.agree(order, descriptors))
        await _all_of(agreements)


async def _all_of(agreements: list[Deferred[None]]) -> None:
    """Wait for all; raises what the first one that failed raised."""
    try:
        await gatherResults(agreements, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()


def wanted(plan: Plan, places: tuple[Place, ...] = ()) -> Wanted:
    """Return what children are told of a plan."""
    source = plan.source
    return Wanted(plan.corefile, plan.default_port, plan.folder, source.name, source.path, places)


def has_feeder(plan: Plan) -> bool:
    """Tell whether somebody has to watch for the workers."""
    return any(
        FEEDER in directive.roles for block in plan.blocks for directive, _ in block.directives
    )
