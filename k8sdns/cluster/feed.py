"""The feed: what one process knows of clusters, for the processes that answer.

Owns: the messages and their octets, and the store that passes on what answers can show. Refuses to
know sockets: `k8sdns.cluster.feeding` gives the feed out and `k8sdns.cluster.fed` takes it in.

A message is a msgpack array that begins with its tag; an object stands for its own upsert. A frame
is (source, messages): one feed carries the objects of every source of objects in a Corefile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias, cast

import msgspec

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
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.shared import shared
from k8sdns.cluster.store import Store, visible

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


class Recalled(_Said, frozen=True, tag=17):
    """What is known is from a copy that was true at that time, in Unix seconds."""

    at: float


Message: TypeAlias = (
    Service | EndpointSlice | Pod | Namespace
    | Delete | Listing | Listed | Stale | Want | Forget | Recalled
)  # fmt: skip
Frame: TypeAlias = tuple[str, list[Message]]

encode: Final[Callable[[Frame], bytes]] = msgspec.msgpack.Encoder().encode
decode: Final[Callable[[bytes], Frame]] = msgspec.msgpack.Decoder(tuple[str, list[Message]]).decode


def source_name(key: tuple[object, ...]) -> str:
    """Return how a feed calls the source that was made from `key`: alike in every process."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def take(sink: Store, messages: Sequence[Message]) -> None:
    """Say `messages` to a store."""
    for message in messages:
        if isinstance(message, (Service, EndpointSlice, Pod, Namespace)):
            sink.upsert(shared(message))
        elif isinstance(message, Delete):
            sink.delete(message.kind, message.namespace, message.name)
        elif isinstance(message, Listing):
            sink.listing(message.kind)
        elif isinstance(message, Listed):
            sink.listed(message.kind)
        elif isinstance(message, Stale):
            sink.stale(message.kind)
        elif isinstance(message, Recalled):
            sink.recalled_at = message.at


Changed: TypeAlias = Callable[[str, Key, Message], None]

_WHOLE: Final[Key] = ("", "")


class Relay(Store):
    """A store that also tells ``changed(kind, key, message)`` what takers are to hear.

    Nothing is told of an object that answers nothing new. The key of what is about a kind as a
    whole is ("", "").

    With `is_packed` it keeps octets and no indexes: nothing is found by address or by label then,
    for which nobody asks a feeder, and it takes a quarter of the memory.
    """

    def __init__(self, *, is_packed: bool = False) -> None:
        self.changed: Changed = lambda _kind, _key, _message: None
        self._recalled_at: float | None = None
        self._is_packed = is_packed
        super().__init__()
        if is_packed:
            self._tables = {kind: Packed(Thing) for kind in KINDS}
            self.services = cast("Any", self._tables["services"])

    @property
    def recalled_at(self) -> float | None:
        """When the copy was true that some of this was recalled from."""
        return self._recalled_at

    @recalled_at.setter
    def recalled_at(self, at: float | None) -> None:
        self._recalled_at = at
        if at is not None:
            self.changed("", _WHOLE, Recalled(at))

    def upsert(self, thing: Thing) -> None:
        """Keep the newest form; pass it on if an answer can show the difference."""
        kind, key = kind_of(thing), key_of(thing)
        old = self.get(kind, *key)
        super().upsert(thing)
        if old is None or visible(old) != visible(thing):
            self.changed(kind, key, thing)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Forget one object."""
        was_known = self.get(kind, namespace, name) is not None
        super().delete(kind, namespace, name)
        if was_known:
            self.changed(kind, (namespace, name), Delete(kind, namespace, name))

    def listed(self, kind: str) -> None:
        """Sweep; say that the kind is whole."""
        super().listed(kind)
        self.changed(kind, _WHOLE, Listed(kind))

    def stale(self, kind: str) -> None:
        """Contact is lost."""
        super().stale(kind)
        self.changed(kind, _WHOLE, Stale(kind))

    def _file(self, key: Key, thing: Thing) -> None:
        if not self._is_packed:
            super()._file(key, thing)

    def _unfile(self, key: Key, thing: Thing) -> None:
        if not self._is_packed:
            super()._unfile(key, thing)

    def _touched(self, kind: str, key: Key) -> None:
        was_stale = self.is_stale(kind)
        super()._touched(kind, key)
        if was_stale and kind in self.synced:
            self.changed(kind, _WHOLE, Listed(kind))

    # -- giving it out -------------------------------------------------------------------------

    def current(self, kind: str, key: Key) -> Message | None:
        """Return what a taker is to hear of one key now, None for nothing."""
        if not kind:
            return None if self._recalled_at is None else Recalled(self._recalled_at)
        if key == _WHOLE:
            return Stale(kind) if self.is_stale(kind) else self._whole(kind)
        return self.get(kind, *key) or Delete(kind, *key)

    def _whole(self, kind: str) -> Message | None:
        return Listed(kind) if kind in self.synced else None

    def snapshot(self) -> Iterator[Message]:
        """Yield everything, each object as it is when its turn comes; changes may happen between.

        What appears meanwhile, or goes after its turn, has to be said afterwards. A kind that is
        not synced yet is begun, too: its objects and its end follow as changes.
        """
        if self._recalled_at is not None:
            yield Recalled(self._recalled_at)
        for kind in KINDS:
            yield Listing(kind)  # also where nothing is known yet: Listed will come
            for key in list(self._tables[kind]):
                thing = self.get(kind, *key)
                if thing is not None:
                    yield thing
            if kind in self.synced:
                yield Listed(kind)
            if self.is_stale(kind):
                yield Stale(kind)
