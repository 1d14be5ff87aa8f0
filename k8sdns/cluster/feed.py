"""The feed: what one process knows of clusters, for the processes that answer.

Owns: the messages and their octets, and the sink that keeps what the one watch brings and passes
on what answers can show. Refuses to know sockets: `k8sdns.cluster.feeding` gives the feed out and
`k8sdns.cluster.fed` takes it in.

A message is a msgpack array that begins with its tag; an object stands for its own upsert. A frame
is (source, messages): one feed carries the objects of every source of objects in a Corefile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import msgspec
from zope.interface import implementer

from k8sdns.cluster.model import (
    KINDS,
    EndpointSlice,
    Key,
    Namespace,
    Pod,
    Service,
    Thing,
    key_of,
    kind_of,
)
from k8sdns.cluster.store import visible
from k8sdns.interfaces import ISink

MAX_FRAME_OCTETS: Final = 64 * 1024 * 1024


class _Said(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag"):
    """A message that is no object."""


class Delete(_Said, frozen=True, tag=11):
    """An object is gone."""

    kind: str
    namespace: str
    name: str


class Listing(_Said, frozen=True, tag=12):
    """All objects of a kind follow: mark what is known."""

    kind: str


class Listed(_Said, frozen=True, tag=13):
    """Those were all: sweep what was not named; the kind is synced."""

    kind: str


class Stale(_Said, frozen=True, tag=14):
    """Contact with the source of a kind is lost."""

    kind: str


class Want(_Said, frozen=True, tag=15):
    """From a taker: send this source, all of it first."""


class Forget(_Said, frozen=True, tag=16):
    """From a taker: send this source no longer."""


Message: TypeAlias = (
    Service | EndpointSlice | Pod | Namespace | Delete | Listing | Listed | Stale | Want | Forget
)
Frame: TypeAlias = tuple[str, list[Message]]

encode: Final[Callable[[Frame], bytes]] = msgspec.msgpack.Encoder().encode
decode: Final[Callable[[bytes], Frame]] = msgspec.msgpack.Decoder(tuple[str, list[Message]]).decode


def source_name(key: tuple[object, ...]) -> str:
    """Return how a feed calls the source that was made from `key`: alike in every process."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def take(sink: ISink, messages: Sequence[Message]) -> None:
    """Say `messages` to a sink."""
    for message in messages:
        if isinstance(message, (Service, EndpointSlice, Pod, Namespace)):
            sink.upsert(message)
        elif isinstance(message, Delete):
            sink.delete(message.kind, message.namespace, message.name)
        elif isinstance(message, Listing):
            sink.listing(message.kind)
        elif isinstance(message, Listed):
            sink.listed(message.kind)
        elif isinstance(message, Stale):
            sink.stale(message.kind)


Changed: TypeAlias = Callable[[str, Key, Message], None]


@implementer(ISink)
class Relay:
    """Keeps the newest form of every object, without indexes; tells `changed` what is to be sent.

    ``changed(kind, key, message)``; the key of what is about a kind as a whole is ("", "").
    Nothing is told of an object that answers nothing new.
    """

    def __init__(self) -> None:
        self.tables: dict[str, dict[Key, Thing]] = {kind: {} for kind in KINDS}
        self.synced: set[str] = set()
        self.changed: Changed = lambda _kind, _key, _message: None
        self._stale: set[str] = set()
        self._unseen: dict[str, set[Key]] = {}
        self._slice_observers: list[Callable[[EndpointSlice], None]] = []

    # -- what the figures of a cluster ask of a store -------------------------------------------

    @property
    def services(self) -> dict[Key, Thing]:
        """The Services by key."""
        return self.tables["services"]

    def objects(self, kind: str) -> int:
        """Return how many objects of `kind` are known."""
        return len(self.tables[kind])

    def is_synced(self, kinds: Sequence[str]) -> bool:
        """Tell whether each of `kinds` has been listed whole at least once."""
        return self.synced.issuperset(kinds)

    def observe_slices(self, observer: Callable[[EndpointSlice], None]) -> None:
        """Call ``observer(slice)`` for each changed slice that says when its change began."""
        self._slice_observers.append(observer)

    # -- ISink ---------------------------------------------------------------------------------

    def upsert(self, thing: Thing) -> None:
        """Keep the newest form; pass it on if an answer can show the difference."""
        kind, key = kind_of(thing), key_of(thing)
        self.seen(kind, *key)
        old = self.tables[kind].get(key)
        self.tables[kind][key] = thing
        if old is not None and visible(old) == visible(thing):
            return
        self.changed(kind, key, thing)
        if isinstance(thing, EndpointSlice) and thing.triggered_at is not None:
            for observer in self._slice_observers:
                observer(thing)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Forget one object."""
        self.seen(kind, namespace, name)
        if self.tables[kind].pop((namespace, name), None) is not None:
            self.changed(kind, (namespace, name), Delete(kind, namespace, name))

    def seen(self, kind: str, namespace: str, name: str) -> None:
        """Count an object as named by a listing; contact is back if it was lost."""
        if kind in self._stale:
            self._stale.discard(kind)
            if kind in self.synced:
                self.changed(kind, ("", ""), Listed(kind))
        unseen = self._unseen.get(kind)
        if unseen is not None:
            unseen.discard((namespace, name))

    def listing(self, kind: str) -> None:
        """Mark all that is known: takers are told of the differences alone."""
        self._unseen[kind] = set(self.tables[kind])

    def listed(self, kind: str) -> None:
        """Sweep; say that the kind is synced."""
        for namespace, name in self._unseen.pop(kind, ()):
            self.delete(kind, namespace, name)
        self._stale.discard(kind)
        self.synced.add(kind)
        self.changed(kind, ("", ""), Listed(kind))

    def stale(self, kind: str) -> None:
        """Contact is lost."""
        if kind not in self._stale:
            self._stale.add(kind)
            self.changed(kind, ("", ""), Stale(kind))

    # -- giving it out -------------------------------------------------------------------------

    def current(self, kind: str, key: Key) -> Message | None:
        """Return what a taker is to hear of one key now, None for nothing."""
        if key == ("", ""):
            return Stale(kind) if kind in self._stale else self._whole(kind)
        thing = self.tables[kind].get(key)
        return thing if thing is not None else Delete(kind, *key)

    def _whole(self, kind: str) -> Message | None:
        return Listed(kind) if kind in self.synced else None

    def snapshot(self) -> Iterator[Message]:
        """Yield everything, each object as it is when its turn comes; changes may happen between.

        What appears meanwhile, or goes after its turn, has to be said afterwards. A kind that is
        not synced yet is begun, too: its objects and its end follow as changes.
        """
        for kind, table in self.tables.items():
            yield Listing(kind)  # also where nothing is known yet: Listed will come
            for key in list(table):
                thing = table.get(key)
                if thing is not None:
                    yield thing
            if kind in self.synced:
                yield Listed(kind)
            if kind in self._stale:
                yield Stale(kind)
