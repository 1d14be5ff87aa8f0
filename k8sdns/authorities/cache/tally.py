"""What a cache did, counted as plain integers for each listener, and told at a scrape."""

from __future__ import annotations

from collections.abc import Callable

from k8sdns import metrics as table
from k8sdns.answers import Question
from k8sdns.authorities.cache.judgement import SUCCESS, Keep
from k8sdns.authorities.cache.store import CacheStore
from k8sdns.metrics import Metrics

_FIELDS = ("hits_success", "hits_denial", "misses", "prefetches", "served_stale", "drops")


class Tally:
    """What happened at one listener."""

    __slots__ = (*_FIELDS, "told")

    def __init__(self) -> None:
        self.hits_success = 0
        self.hits_denial = 0
        self.misses = 0
        self.prefetches = 0
        self.served_stale = 0
        self.drops = 0
        self.told = dict.fromkeys(_FIELDS, 0)

    def news(self, field: str) -> int:
        """Return what came to `field` since the last time."""
        value: int = getattr(self, field)
        more = value - self.told[field]
        self.told[field] = value
        return more


class Tallies:
    """The tallies of one cache; `zones` is its label of that name."""

    def __init__(self, metrics: Metrics, store: CacheStore, server: str, zones: str) -> None:
        self._metrics = metrics
        self._store = store
        self._server = server
        self._zones = zones
        self._by_server: dict[str, Tally] = {}
        self._evictions = [0, 0]
        self._latest_server: object = None  # most listeners ask several times in a row
        self._latest = Tally()

    def of(self, question: Question) -> Tally:
        """Return the tally of the listener that a question came in by."""
        server = question.server
        if server is not None and server is self._latest_server:
            return self._latest
        name = self._server if server is None else server.name
        tally = self._by_server.get(name)
        if tally is None:
            tally = self._by_server[name] = Tally()
        self._latest_server, self._latest = server, tally
        return tally

    def hit(self, question: Question, keep: Keep, count: int = 1) -> None:
        """Count an answer from the cache, or `count` of them."""
        tally = self.of(question)
        if keep is SUCCESS:
            tally.hits_success += count
        else:
            tally.hits_denial += count

    def again(self, question: Question, keep: Keep) -> Callable[[int], None]:
        """Return what counts that an answer was given so often again."""
        return lambda count: self.hit(question, keep, count)

    def missed(self, question: Question) -> None:
        """Count a question that the cache had no answer to."""
        self.of(question).misses += 1

    def tell(self) -> None:
        """Bring the metrics up to date."""
        for server, tally in self._by_server.items():
            self._tell_counts(tally, (server, self._zones, ""))
        self._tell_store()

    def _tell_counts(self, tally: Tally, labels: tuple[str, str, str]) -> None:
        server, zones, view = labels
        counter = self._metrics.counter
        success, denial, misses = map(tally.news, ("hits_success", "hits_denial", "misses"))
        counter(table.CACHE_REQUESTS).add(*labels, by=success + denial + misses)
        counter(table.CACHE_MISSES).add(*labels, by=misses)
        for kind, count in (("success", success), ("denial", denial)):
            if count:
                counter(table.CACHE_HITS).add(server, kind, zones, view, by=count)
        counter(table.CACHE_PREFETCHES).add(*labels, by=tally.news("prefetches"))
        counter(table.CACHE_STALE).add(*labels, by=tally.news("served_stale"))
        counter(table.CACHE_DROPS).add(*labels, by=tally.news("drops"))

    def _tell_store(self) -> None:
        gauge = self._metrics.gauge(table.CACHE_ENTRIES)
        evictions = self._metrics.counter(table.CACHE_EVICTIONS)
        shelves = (("success", self._store.success), ("denial", self._store.denial))
        for index, (kind, shelved) in enumerate(shelves):
            labels = (self._server, kind, self._zones, "")
            gauge[labels] = len(shelved.entries)
            if shelved.evictions > self._evictions[index]:
                evictions.add(*labels, by=shelved.evictions - self._evictions[index])
                self._evictions[index] = shelved.evictions
