"""What outlives a reload: things shared by the generations whose settings agree.

Owns whose a thing is. A watch of a cluster, a cache's entries, an upstream's connections and a web
listener are taken by a key made of the settings that matter to them; a new generation with an
equal key gets the same thing. A thing that nobody owns any longer is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

log = Logger()

T = TypeVar("T")


class Carried:
    """Every shared thing of a process, by key."""

    def __init__(self) -> None:
        self._things: dict[Hashable, Any] = {}
        self._owners: dict[Hashable, set[Share]] = {}

    def __len__(self) -> int:
        return len(self._things)

    def share(self) -> Share:
        """Return the share of a new generation; it owns nothing yet."""
        return Share(self)

    def take(self, key: Hashable, make: Callable[[], T], owner: Share) -> T:
        if key not in self._things:
            self._things[key] = make()
            self._owners[key] = set()
        self._owners[key].add(owner)
        thing: T = self._things[key]
        return thing

    def of(self, owner: Share) -> list[Any]:
        return [self._things[key] for key, owners in self._owners.items() if owner in owners]

    def drop(self, owner: Share) -> list[Any]:
        """Take `owner` off everything; return what nobody owns any longer."""
        orphans = []
        for key, owners in list(self._owners.items()):
            owners.discard(owner)
            if not owners:
                del self._owners[key]
                orphans.append(self._things.pop(key))
        return orphans


class Share:
    """What one generation owns of what is carried."""

    def __init__(self, carried: Carried) -> None:
        self._carried = carried

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the thing for `key`: a living generation's, or the one that `make` returns.

        A thing that provides IService is started with the generation and stopped with the last
        one that owns it.
        """
        return self._carried.take(key, make, self)

    async def start(self) -> None:
        """Start the owned services that do not run yet."""
        for thing in self._carried.of(self):
            if IService.providedBy(thing) and not thing.running:
                thing.privilegedStartService()
                await maybeDeferred(thing.startService)

    async def release(self) -> None:
        """Own nothing any longer; stop what nobody else owns."""
        for thing in reversed(self._carried.drop(self)):
            if not IService.providedBy(thing) or not thing.running:
                continue
            try:
                await maybeDeferred(thing.stopService)
            except Exception:  # noqa: BLE001 - the others are stopped too
                log.failure("{thing} did not stop cleanly", thing=thing)
