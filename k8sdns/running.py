"""A server that runs: the current generation of objects, and its exchange for another.

Owns the order of start, reload and end. A *generation* is everything that one Corefile came to:
servers by listener, services, what serving waits for. A reload prepares the next generation,
which may fail and then changes nothing; commits it, which cannot fail; and retires the old one.
Refuses to know Corefiles and directives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from twisted.application.service import IService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from k8sdns.errors import ConfigurationError
from k8sdns.metrics import QUERIES_WAITING, Metrics
from k8sdns.reloading import Reloads
from k8sdns.server.carried import Carried, Share
from k8sdns.server.listeners import Listener, Listeners, ListenKey, WrittenAt
from k8sdns.server.server import Server

log = Logger()

RETIRE_SECONDS = 5.0  # what an old generation has left to finish the queries that it took


class Generation(NamedTuple):
    """What one Corefile came to; things stand in plugin order."""

    servers: dict[ListenKey, tuple[Server, Any]]  # the server and the factory of its streams
    services: tuple[IService, ...]
    gates: tuple[Any, ...]  # provide IGate
    leaving: tuple[Any, ...]  # provide ILeaving
    share: Share  # what it has in common with the next one
    reporters: tuple[Any, ...] = ()  # provide IReadiness
    written_at: WrittenAt = MappingProxyType({})  # where the Corefile asks for each listener

    @property
    def waiting(self) -> int:
        """How many queries wait for their answer."""
        return sum(len(server.deadlines) for server, _factory in self.servers.values())


Generate = Callable[[Share], Generation]


class Running:
    """One server process: listeners, and the generation that answers on them."""

    def __init__(
        self,
        reactor: Any,
        metrics: Metrics,
        generate: Generate,
        reloads: Reloads | None = None,
        *,
        make_listener: Callable[[ListenKey, Any], Listener] = Listener,
    ) -> None:
        self.reloads = reloads
        self._reactor = reactor
        self._generate = generate
        self._listeners = Listeners(reactor, metrics, make_listener)
        self._carried = Carried()
        self._current: Generation | None = None
        self._retiring: list[Generation] = []
        self._preparing: Deferred[Any] | None = None
        self._is_stopped = False
        self._asked_before = 0
        self._seen: tuple[int, float | None] = (0, None)
        self._waiting = metrics.gauge(QUERIES_WAITING)
        metrics.before_scrape(self._bring_up_to_date)

    def privileged_start(self) -> None:
        """Build everything and bind every socket; raises ConfigurationError and opens nothing."""
        generation = self._generate(self._carried.share())
        opened = self._listeners.prepare(generation.servers, generation.written_at)
        self._listeners.commit(opened, generation.servers)
        self._current = generation

    def start(self) -> Deferred[None]:
        """Start what was built; fires once questions are answered."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        generation = self._current
        if generation is None:
            return
        await self._start_services(generation)
        if self._current is not None:
            self._listeners.start()

    async def _start_services(self, generation: Generation) -> None:
        await generation.share.start()
        for service in generation.services:
            service.privilegedStartService()
            await maybeDeferred(service.startService)
        await gatherResults([gate.opened() for gate in generation.gates])

    @property
    def asked(self) -> int:
        """How many queries came so far."""
        asked = self._asked_before
        if self._current is not None:
            asked += sum(server.asked for server, _ in self._current.servers.values())
        return asked

    def last_asked_at(self) -> float | None:
        """Return when the last question came, by the reactor's clock; None: never.

        Known to the moment of the last call: the hot path only counts.
        """
        asked = self.asked
        if asked != self._seen[0]:
            self._seen = (asked, self._reactor.seconds())
        return self._seen[1]

    def waits_for(self) -> list[tuple[str, str]]:
        """Return what is not ready, and what it waits for, in words for people."""
        reporters = self._current.reporters if self._current is not None else ()
        return [(each.word, waits) for each in reporters if (waits := each.waits_for())]

    async def reload(
        self, generate: Generate, agreed: Callable[[], Deferred[None]] | None = None
    ) -> None:
        """Exchange the generation; raises what preparing raised, and then nothing has changed.

        `agreed` is asked once everything is prepared, and may still fail: others prepare, too.
        """
        share = self._carried.share()
        self._preparing = Deferred.fromCoroutine(self._prepare(generate, share, agreed))
        try:
            generation, opened = await self._preparing
        except BaseException as error:
            if self._is_stopped:
                raise ConfigurationError("the server is ending") from error
            raise
        finally:
            self._preparing = None
        old, self._current = self._current, generation
        self._listeners.commit(opened, generation.servers)
        if old is not None:
            await self._retire(old)

    async def _prepare(
        self, generate: Generate, share: Share, agreed: Callable[[], Deferred[None]] | None
    ) -> tuple[Generation, dict[ListenKey, Listener]]:
        """Return the next generation, started, and the listeners that it needs besides."""
        opened: dict[ListenKey, Listener] = {}
        generation = None
        try:
            generation = generate(share)
            opened = self._listeners.prepare(generation.servers, generation.written_at)
            await self._start_services(generation)
            if agreed is not None:
                await agreed()
            if self._is_stopped:  # somebody along the way took no notice of being cancelled
                raise CancelledError
        except BaseException:
            self._listeners.abandon(opened)
            await self._abandon(generation, share)
            raise
        return generation, opened

    async def _abandon(self, generation: Generation | None, share: Share) -> None:
        if generation is not None:
            await self._stop_services(generation)
        await share.release()

    async def _retire(self, old: Generation) -> None:
        for server, _factory in old.servers.values():
            self._asked_before += server.asked
        self._retiring.append(old)
        for server, _factory in old.servers.values():
            for _ in chain(server.telling_observers(), server.forgetting_replies()):
                await self._a_turn()
        end = self._reactor.seconds() + RETIRE_SECONDS
        while old.waiting and self._reactor.seconds() < end:
            await deferLater(self._reactor, 0.05, lambda: None)
        await self._stop_generation(old)
        self._retiring.remove(old)

    def _a_turn(self) -> Deferred[None]:
        """Let questions be answered before the next piece of work."""
        return deferLater(self._reactor, 0, lambda: None)

    def drain(self) -> Deferred[None]:
        """Tell the world that the end is near; questions are still answered."""
        told = [] if self._current is None else self._current.leaving
        calls: list[Deferred[Any]] = [maybeDeferred(each.leave) for each in told]
        return gatherResults(calls, consumeErrors=True).addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Stop answering, close every socket, stop every service; what is prepared is given up."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        current, self._current = self._current, None
        self._is_stopped = True
        self._listeners.close()
        preparing = self._preparing
        if preparing is not None:
            # Who reloads is told first, and takes the failure: what comes back here is nothing.
            preparing.cancel()
            await preparing
        for generation in [*self._retiring, *([current] if current else [])]:
            await self._stop_generation(generation)

    async def _stop_generation(self, generation: Generation) -> None:
        for server, _factory in generation.servers.values():
            server.streams.close_all()
            server.deadlines.cancel_all()
        await self._stop_services(generation)
        await generation.share.release()

    async def _stop_services(self, generation: Generation) -> None:
        for service in reversed(generation.services):
            if not service.running:
                continue
            try:
                await maybeDeferred(service.stopService)
            except Exception:  # noqa: BLE001 - the others are stopped too
                log.failure("{service} did not stop cleanly", service=service)

    def _bring_up_to_date(self) -> Iterator[None]:
        current = self._current
        if current is not None:
            self._waiting[()] = current.waiting
            for server, _factory in current.servers.values():
                yield from server.telling_observers()
