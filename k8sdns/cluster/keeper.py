"""Keeps a copy of the cluster in a file, for a start while the API server is away.

Owns: when a copy is made, when one may be served from, and that neither disturbs an answer: work
is done in slices, files are touched in a thread. Refuses to know the form of the file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from k8sdns.cluster import snapshot
from k8sdns.cluster.model import Kind, Thing
from k8sdns.cluster.store import Store
from k8sdns.metrics import STORE_SNAPSHOT_AGE, Metrics

LOOK_EVERY = 5.0
CHANGED_AFTER = 60.0
"""Seconds between two copies of a cluster that changes."""
QUIET_AFTER = 600.0
"""Seconds after which the copy of a quiet cluster is renewed, so that its age stays true."""
WORK_SECONDS, REST_SECONDS = 0.001, 0.001

InThread = Callable[..., Deferred[Any]]


class SnapshotKeeper:
    """Copies `kinds` of `store` to `path`, and brings a copy of at most `max_age` seconds back.

    `scope` names the cluster and the selectors: a copy of another scope is not served from.
    `in_thread(function, *arguments)` runs what blocks.
    """

    log = Logger(namespace="k8sdns.directives.kubernetes")

    def __init__(
        self,
        store: Store,
        path: str,
        metrics: Metrics,
        *,
        max_age: float,
        kinds: Collection[Kind],
        scope: str,
        reactor: Any,
        wall_clock: Callable[[], float] = time.time,
        in_thread: InThread | None = None,
    ) -> None:
        self._store = store
        self._path = path
        self._metrics = metrics
        self._max_age = max_age
        self._kinds = tuple(kinds)
        self._scope = hashlib.blake2b(scope.encode(), digest_size=16).hexdigest()
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._in_thread = in_thread or self._in_reactor_thread
        self._is_changed = True
        self._written_at: float | None = None
        self._complaint = ""
        self._writing: Deferred[None] | None = None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._unsubscribe: Callable[[], None] | None = None

    def start(self) -> None:
        """Make copies from now on."""
        self._unsubscribe = self._store.subscribe(self._changed)
        self._metrics.before_scrape(self._show_age)
        self._loop.start(LOOK_EVERY, now=False)
        self._store.when_synced(self._kinds, self._look)

    def stop(self) -> Deferred[None]:
        """Make a last copy if something changed; fires when it is written."""
        self._metrics.not_before_scrape(self._show_age)
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._loop.running:
            self._loop.stop()
        if self._writing is not None:
            self._writing.cancel()
        return self.write() if self._is_changed and self._is_true() else succeed(None)

    # -- there ---------------------------------------------------------------------------------

    def write(self) -> Deferred[None]:
        """Copy what is known now; fires when the file is in place. Failures are logged."""
        done = Deferred.fromCoroutine(self._write())
        return done.addErrback(self._not_written)

    def _changed(self, _kind: str, _namespace: str, _name: str) -> None:
        self._is_changed = True

    def _is_true(self) -> bool:
        """Tell whether what is known is the cluster as it is now."""
        if not self._store.is_synced(self._kinds):
            return False
        return not any(self._store.is_stale(kind) for kind in self._kinds)

    def _look(self) -> None:
        if self._writing is not None or not self._loop.running or not self._is_true():
            return
        now, written_at = self._reactor.seconds(), self._written_at
        wait = CHANGED_AFTER if self._is_changed else QUIET_AFTER
        if written_at is None or now - written_at >= wait:
            self._writing = self.write()
            self._writing.addBoth(self._written)

    async def _write(self) -> None:
        self._is_changed = False
        # References only: the objects never change, and nothing else may while we go through.
        kinds = [(kind, self._store.held(kind)) for kind in self._kinds]
        pieces: list[bytes] = []
        work = snapshot.frames(self._wall_clock(), self._scope, kinds)
        await self._in_slices(work, pieces.append)
        await self._in_thread(snapshot.write, self._path, pieces)
        self._complaint = ""

    def _written(self, _result: object) -> None:
        self._writing = None
        self._written_at = self._reactor.seconds()

    def _not_written(self, failure: Any) -> None:
        self._is_changed = True
        if failure.check(CancelledError):
            return
        complaint = failure.getErrorMessage()
        if complaint != self._complaint:
            self._complaint = complaint
            self.log.error("no copy in {path}: {why}", path=self._path, why=complaint)

    # -- and back ------------------------------------------------------------------------------

    async def recall(self) -> None:
        """Fill the store from the file, unless it has nothing to offer; says which, in the log."""
        if self._store.recalled_at is not None:
            return
        try:
            octets = await self._in_thread(snapshot.read, self._path)
            header = snapshot.header_of(octets)
            age = max(0.0, self._wall_clock() - header.true_at)
            if header.scope != self._scope:
                raise snapshot.BadSnapshot("it is of another cluster, or of other labels")
            if age > self._max_age:
                raise snapshot.BadSnapshot(f"it is {age:.0f} s old")
            self._store.recalled_at = header.true_at
            await self._in_slices(snapshot.objects_of(octets), self._take)
        except (OSError, snapshot.BadSnapshot) as error:
            self.log.warn("nothing is served from {path}: {why}", path=self._path, why=error)
            return
        self.log.warn(
            "serving the cluster of {age:.0f} s ago from {path}, until the API server answers",
            age=age,
            path=self._path,
        )

    def _take(self, found: tuple[Kind, list[Thing]]) -> None:
        kind, things = found
        if kind in self._kinds and not self._store.is_synced((kind,)):
            for thing in things:
                self._store.recall(thing)

    def _show_age(self) -> None:
        recalled_at = self._store.recalled_at
        serving = recalled_at is not None and not self._store.is_synced(self._kinds)
        age = max(0.0, self._wall_clock() - recalled_at) if serving and recalled_at else 0.0
        self._metrics.gauge(STORE_SNAPSHOT_AGE)[()] = age

    async def _in_slices(self, work: Iterator[Any], take: Callable[[Any], object]) -> None:
        """Give every piece of `work` to `take`, answering questions in between."""
        began = self._reactor.seconds()
        for piece in work:
            take(piece)
            if self._reactor.seconds() - began >= WORK_SECONDS:
                await deferLater(self._reactor, REST_SECONDS)
                began = self._reactor.seconds()

    def _in_reactor_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, function, *arguments)
