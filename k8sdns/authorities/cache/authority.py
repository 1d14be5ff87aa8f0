"""A remote authority behind a cache, as the chain and Twisted Names know it."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.cache.cached import CachedAnswers
from k8sdns.authorities.cache.settings import CacheSettings
from k8sdns.authorities.cache.store import CacheStore
from k8sdns.authorities.cache.tally import Tallies
from k8sdns.interfaces import IPendingAuthority, IRepeatable, IUpstreams
from k8sdns.waiting import Pending


@implementer(IRepeatable, IPendingAuthority)
class CachedAuthority(Authority):
    """Stands in the place of `remote` and asks it only for what `store` does not have."""

    repeats_as = "cache"

    def __init__(
        self,
        remote: Any,
        store: CacheStore,
        settings: CacheSettings,
        clock: IReactorTime,
        tallies: Tallies,
        wall_time: Callable[[], float] = time,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.word = remote.word
        self.remote = remote
        self._zone = remote.zone if IUpstreams.providedBy(remote) else names.ROOT
        self._cached = CachedAnswers(remote, store, settings, clock, tallies, wall_time)
        self.begin: Any = self._cached.begin

    def answer(self, question: Question) -> Answer | Deferred[Answer | None] | None:
        """Answer from an entry, or ask."""
        answered: Any = self.begin(question)
        return answered.deferred() if isinstance(answered, Pending) else answered

    def never_answers(self, question: Question) -> bool:
        """Pass on for ever what is not under the zone of the remote authority, where it has one."""
        return not names.is_subdomain(question.qname, self._zone)

    def never_answers_below(self, _question: Question, parent: bytes) -> bool:
        """The same of every name below `parent`."""
        zone = self._zone
        return not (names.is_subdomain(parent, zone) or names.is_subdomain(zone, parent))
