"""A cache with its numbers: the unit that outlives a reload, entries and all."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from k8sdns import names
from k8sdns.authorities.base import Authority
from k8sdns.authorities.cache.authority import CachedAuthority
from k8sdns.authorities.cache.settings import CacheSettings
from k8sdns.authorities.cache.store import CacheStore
from k8sdns.authorities.cache.tally import Tallies
from k8sdns.metrics import Metrics


class CacheService(Service):
    """One `cache` of a Corefile; `wrap` puts it in front of an authority."""

    def __init__(
        self, settings: CacheSettings, clock: IReactorTime, metrics: Metrics, server: str = ""
    ) -> None:
        self.store = CacheStore(settings)
        zones = ",".join(map(names.to_text, settings.zones))
        self.tallies = Tallies(metrics, self.store, server, zones)
        self._settings = settings
        self._clock = clock
        self._metrics = metrics

    def wrap(self, remote: Authority) -> CachedAuthority:
        """Return what answers instead of `remote`."""
        return CachedAuthority(remote, self.store, self._settings, self._clock, self.tallies)

    def startService(self) -> None:
        """Begin to count."""
        super().startService()  # type: ignore[no-untyped-call]
        self._metrics.before_scrape(self.tallies.tell)

    def stopService(self) -> None:
        """Forget everything."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.tallies.tell()
        self._metrics.not_before_scrape(self.tallies.tell)
        self.store.clear()
