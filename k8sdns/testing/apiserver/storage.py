"""The objects, one rising revision over all of them, and the history that watches replay.

Owns: revisions, events, how much history is kept, snapshots for paging.
Refuses to know: HTTP, selectors, who may do what, defaults.
Source: etcd's revisions and the API server's watch cache.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import too_old

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-wide object is ""."""

HISTORY_LIMIT = 20_000
SNAPSHOT_LIMIT = 64


@dataclass(frozen=True)
class Change:
    """One event: `thing` is the object after it (for DELETED: as it was, with the new version)."""

    revision: int
    type: str
    thing: Object
    before: Object | None


Watcher = Callable[[Change], None]


def key_of(thing: Object) -> Key:
    """The key of an object."""
    metadata = thing["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def versioned(thing: Object, revision: int) -> Object:
    """A shallow copy of `thing` with this resourceVersion."""
    return thing | {"metadata": thing["metadata"] | {"resourceVersion": str(revision)}}


@dataclass
class Shelf:
    """The objects of one resource type, its history and who watches it.

    `floor` is the newest revision that is no longer in the history: a watch may start there, not
    before.
    """

    resource: ResourceType
    objects: dict[Key, Object] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    floor: int = 0
    watchers: list[Watcher] = field(default_factory=list)
    snapshots: OrderedDict[int, dict[Key, Object]] = field(default_factory=OrderedDict)

    def record(self, change: Change) -> None:
        """Keep the change and tell every watcher of it."""
        self.history.append(change)
        if len(self.history) > HISTORY_LIMIT:
            self.floor = self.history.popleft().revision
        for watcher in tuple(self.watchers):
            watcher(change)

    def since(self, revision: int) -> list[Change]:
        """The changes after `revision`; 410 when some of them are gone."""
        if revision < self.floor:
            raise too_old(revision, self.floor)
        return [change for change in self.history if change.revision > revision]

    def compact(self, revision: int) -> None:
        """Forget the history up to `revision`, and every snapshot made before it."""
        self.floor = max(self.floor, revision)
        while self.history and self.history[0].revision <= self.floor:
            self.history.popleft()
        for old in [made for made in self.snapshots if made < revision]:
            del self.snapshots[old]

    def as_of(self, revision: int) -> dict[Key, Object]:
        """The objects as they were at `revision`; 410 when that is forgotten."""
        if revision in self.snapshots:
            return self.snapshots[revision]
        objects = dict(self.objects)
        for change in reversed(self.since(revision)):
            if change.before is None:
                objects.pop(key_of(change.thing), None)
            else:
                objects[key_of(change.thing)] = change.before
        return objects

    def keep(self, revision: int) -> None:
        """Keep the objects of now for the pages of a list that began at `revision`."""
        self.snapshots[revision] = dict(self.objects)
        if len(self.snapshots) > SNAPSHOT_LIMIT:
            self.snapshots.popitem(last=False)


class Storage:
    """All shelves and the revision that they share. A new server's revision is 1, as etcd's.

    `watchers` are told every change of every shelf.
    """

    def __init__(self) -> None:
        self.revision = 1
        self.watchers: list[Callable[[ResourceType, Change], None]] = []
        self._shelves: dict[ResourceType, Shelf] = {}

    def shelf(self, resource: ResourceType) -> Shelf:
        """The shelf of a type, made on first use."""
        if resource not in self._shelves:
            self._shelves[resource] = Shelf(resource)
        return self._shelves[resource]

    def shelves(self) -> Iterable[Shelf]:
        """Every shelf that was ever used."""
        return tuple(self._shelves.values())

    def put(self, resource: ResourceType, thing: Object) -> Object:
        """Store an object, new or not; returns it with its new resourceVersion."""
        shelf = self.shelf(resource)
        key = key_of(thing)
        before = shelf.objects.get(key)
        self.revision += 1
        stored = versioned(thing, self.revision)
        shelf.objects[key] = stored
        event = "ADDED" if before is None else "MODIFIED"
        self._record(shelf, Change(self.revision, event, stored, before))
        return stored

    def remove(self, resource: ResourceType, key: Key) -> Object | None:
        """Take an object away; returns it with the revision of its deletion, None if unknown."""
        shelf = self.shelf(resource)
        before = shelf.objects.pop(key, None)
        if before is None:
            return None
        self.revision += 1
        gone = versioned(before, self.revision)
        self._record(shelf, Change(self.revision, "DELETED", gone, before))
        return gone

    def rewind(self, revision: int) -> None:
        """Be as at `revision`, with no history; 410 when that is forgotten."""
        pasts = {shelf.resource: shelf.as_of(revision) for shelf in self.shelves()}
        self.revision = revision
        for resource, objects in pasts.items():
            shelf = self._shelves[resource]
            shelf.objects, shelf.floor = objects, revision
            shelf.history.clear()
            shelf.snapshots.clear()

    def _record(self, shelf: Shelf, change: Change) -> None:
        shelf.record(change)
        for watcher in tuple(self.watchers):
            watcher(shelf.resource, change)
