"""Proof, now and then, that the store is what the API server has: compare, heal, count.

Owns: when an audit is due, what counts as a difference, and what is done about it. Refuses to know
how lists travel, and the rules of watching: a difference is healed by the kind's own reflector.

An audit compares versions, never contents. What differs at first is compared again after
`SETTLE` seconds, when any event under way has arrived: what changes meanwhile is in step by then.
What differs in the same way is listed anew. It was
drift if that changed it; if not (an object that cannot be read), it is not looked at again until
its version changes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from k8sdns.cluster.kind_watch import KindWatch
from k8sdns.cluster.live import LiveSource
from k8sdns.cluster.metadata_list import ListFailed, list_metadata
from k8sdns.cluster.model import Key, Kind
from k8sdns.cluster.objects import Metadata
from k8sdns.cluster.store import Store
from k8sdns.metrics import STORE_DRIFT, Metrics

JITTER = (0.75, 1.25)
SETTLE = 10.0
"""Seconds after which an event under way has come."""
HEAL_WITHIN = 120.0
"""Seconds that a listing to heal may take before the audit gives up on it."""
KEYS_AT_ONCE = 5_000
"""Keys that are gathered in one turn of the event loop: about a millisecond."""
PAUSES_AFTER_429 = 10
"""A server that asked to be left alone is not audited for so many pauses."""

Suspects = dict[Key, tuple[str, str]]
"""By key: the version that was listed and the one that is known; "" is none."""


class Audit:
    """Audits the store of `source` about every `period` seconds times the number of replicas.

    The replicas are the endpoints of the Service that `own_addresses` are endpoints of: together
    they ask about once a period, whatever their number.
    """

    log = Logger(namespace="k8sdns.directives.kubernetes")

    def __init__(
        self,
        source: LiveSource,
        store: Store,
        metrics: Metrics,
        *,
        period: float,
        clock: Any,
        own_addresses: Iterable[str] = (),
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._source = source
        self._store = store
        self._drift = metrics.counter(STORE_DRIFT)
        for kind in source.watches:
            self._drift.add(kind, by=0)
        self._period = period
        self._clock = clock
        self._own_addresses = tuple(own_addresses)
        self._uniform = uniform
        self._running: Deferred[None] | None = None
        self._excused: dict[Kind, Suspects] = {}

    def start(self) -> None:
        """Audit from now on, the first time after one pause."""
        self._running = Deferred.fromCoroutine(self._run())
        self._running.addErrback(self._ended)

    def stop(self) -> None:
        """Audit no more."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def pause(self) -> float:
        """Return the seconds until the next audit."""
        replicas = replicas_beside(self._store, self._own_addresses)
        return self._period * replicas * self._uniform(*JITTER)

    async def _run(self) -> None:
        pauses = 1
        while True:
            for _ in range(pauses):
                await deferLater(self._clock, self.pause())
            pauses = await self._look()

    async def _look(self) -> int:
        """Audit every kind; return how many pauses to make before the next time."""
        for kind, watch in self._source.watches.items():
            try:
                await self._audit(kind, watch)
            except ListFailed as error:
                if error.is_throttled:
                    self.log.warn("audit suspended: the API server is busy: {why}", why=error)
                    return PAUSES_AFTER_429
                self.log.warn("{kind}: no audit this time: {why}", kind=kind, why=error)
        return 1

    async def _audit(self, kind: Kind, watch: KindWatch) -> None:
        excused = self._excused.get(kind, {})
        suspects = await self._suspects(kind, watch)
        if suspects.items() <= excused.items():
            return
        await deferLater(self._clock, SETTLE)
        suspects = dict(suspects.items() & (await self._suspects(kind, watch)).items())
        if suspects.items() <= excused.items() or not watch.is_watching:
            return
        await self._heal(kind, watch, suspects)

    async def _suspects(self, kind: Kind, watch: KindWatch) -> Suspects:
        """Return what the server lists otherwise than it is known here."""
        if not watch.is_watching:
            return {}
        suspects: Suspects = {}
        ours = watch.reflector.resource_version
        missing = await self._known_keys(kind)

        def listed(metadata: Metadata) -> None:
            key = (metadata.namespace or "", metadata.name)
            missing.discard(key)
            version = metadata.resource_version or ""
            known = self._version(kind, key)
            # A pod that is on its way out is kept as it was, and never begun with.
            is_ending = kind == "pods" and metadata.deletion_timestamp
            if known != version and not is_ending:
                suspects[key] = (version, known)

        version = await list_metadata(self._source.client, kind, watch.selectors, listed)
        if _is_older(version, ours):
            return {}  # the cache behind this list lags; it proves nothing about us
        for key in missing:
            if known := self._version(kind, key):
                suspects[key] = ("", known)
        return suspects

    async def _known_keys(self, kind: Kind) -> set[Key]:
        """Return every key that is known; in steps, for questions wait meanwhile."""
        known: set[Key] = set()
        keys = iter(list(self._store.keys(kind)))
        while some := tuple(islice(keys, KEYS_AT_ONCE)):
            known.update(some)
            await deferLater(self._clock, 0)
        return known

    async def _heal(self, kind: Kind, watch: KindWatch, suspects: Suspects) -> None:
        finished = watch.finished
        watch.doubt()
        for _ in range(int(HEAL_WITHIN)):
            await deferLater(self._clock, 1.0)
            if watch.finished != finished:
                break
        else:
            return
        changed = [key for key in suspects if self._version(kind, key) != suspects[key][1]]
        self._excused[kind] = {k: v for k, v in suspects.items() if k not in changed}
        if changed:
            self._drift.add(kind, by=len(changed))
            self.log.error(
                "{kind}: {count} objects differed from the API server's and were healed: {names}",
                kind=kind,
                count=len(changed),
                names=", ".join("/".join(key) for key in sorted(changed)[:5]),
            )

    def _version(self, kind: Kind, key: Key) -> str:
        known: Any = self._store.get(kind, *key)
        return "" if known is None else str(known.resource_version)

    def _ended(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self.log.failure("audits have ended", failure)


def _is_older(version: str, ours: str) -> bool:
    """Tell whether a list is older than what was known before it was asked for.

    What comes while a list is under way is no reason: in a busy cluster something always does.
    """
    return version.isdecimal() and ours.isdecimal() and int(version) < int(ours)


def replicas_beside(store: Store, own_addresses: Iterable[str]) -> int:
    """Return how many endpoints the Service of one of `own_addresses` has; at least 1."""
    most = 1
    for address in own_addresses:
        for own in store.slices_by_ip(address):
            if own.service:
                ready = sum(len(each.endpoints) for each in _of_one_family(store, own, address))
                most = max(most, ready)
    return most


def _of_one_family(store: Store, own: Any, address: str) -> list[Any]:
    """Return the slices of a Service that hold addresses of the family of `address`."""
    return [
        each
        for each in store.slices_of(own.namespace, own.service)
        if any((":" in e.address) == (":" in address) for e in each.endpoints[:1])
    ]
