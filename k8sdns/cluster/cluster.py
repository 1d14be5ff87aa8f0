"""A cluster as one service: its store, and the source that fills it.

Owns the start: serving waits until the first sync, or until a bound. Refuses to know whether the
source is an API server, a folder of manifests or a parent process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from k8sdns.cluster.figures import Figures
from k8sdns.cluster.keeper import SnapshotKeeper
from k8sdns.cluster.model import KINDS, Kind
from k8sdns.cluster.store import Store

log = Logger(namespace="k8sdns.directives.kubernetes")

SAID_EVERY = 0.5  # seconds


class Cluster(Service):
    """A store that a source fills while the service runs.

    `make_source(store)` returns what has `start()` and `stop()`; it is called once, at once, so
    that a wrong configuration fails early. `figures` shows how many objects of `kinds` there are.
    Attribute `lag` is the source's ``lag(kind)``, None where nothing proves freshness.
    """

    def __init__(
        self,
        make_source: Callable[[Store], Any],
        store: Store | None = None,
        *,
        kinds: Collection[Kind] = KINDS,
        figures: Figures | None = None,
    ) -> None:
        self.store = store if store is not None else Store()
        self.source = make_source(self.store)
        self.lag: Callable[[Kind], float | None] | None = getattr(self.source, "lag", None)
        self._kinds = tuple(kinds)
        self._figures = figures
        self._companions: list[Any] = []
        self._keeper: SnapshotKeeper | None = None

    def keep_copy(self, keeper: SnapshotKeeper) -> None:
        """Have copies of the store made, and served from where the first sync is too late."""
        self._keeper = keeper
        self.accompany(keeper)

    def accompany(self, companion: Any) -> None:
        """Start and stop `companion` together with the source."""
        self._companions.append(companion)

    def startService(self) -> None:
        """Begin to follow the source."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._figures is not None:
            self._figures.follow(self, self._kinds)
        self.source.start()
        for companion in self._companions:
            companion.start()

    def stopService(self) -> Any:
        """Follow no longer; what is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._figures is not None:
            self._figures.forget(self)
        stopped = [maybeDeferred(each.stop) for each in (*self._companions, self.source)]
        return gatherResults(stopped)

    def synced(self, kinds: Collection[str], clock: IReactorTime, timeout: float) -> Deferred[None]:
        """Fire when `kinds` are synced, or after `timeout` seconds with a warning."""
        if self.store.is_synced(kinds):
            return succeed(None)
        wait = _Wait(clock, timeout)
        self.store.when_synced(kinds, wait.over)
        return wait.done.addCallback(lambda _: self._recall_unless_synced(kinds))

    def _recall_unless_synced(self, kinds: Collection[str]) -> Deferred[None] | None:
        if self._keeper is None or self.store.is_synced(kinds):
            return None
        return Deferred.fromCoroutine(self._keeper.recall())


class _Wait:
    """Waiting for the first sync, said twice a second as CoreDNS does."""

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        self.done: Deferred[None] = Deferred()
        self._clock = clock
        self._end = clock.seconds() + timeout
        self._call: IDelayedCall | None = None
        self._again()

    def _again(self) -> None:
        left = self._end - self._clock.seconds()
        if left <= 0:
            log.warn("starting server with unsynced Kubernetes API")
            self._call = None
            self.over()
            return
        log.info("waiting for Kubernetes API before starting server")
        self._call = self._clock.callLater(min(left, SAID_EVERY), self._again)

    def over(self) -> None:
        """Serving may begin."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if not self.done.called:
            self.done.callback(None)
