"""What is known of the cluster now, and who wants to hear that it changed.

Owns: the objects, their indexes, the serials, and which kinds are complete.
Refuses to know where objects come from, what a zone is, and how answers look.

Everything is synchronous. The store after any sequence of calls equals a store that was built
fresh from the objects that are left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, KeysView, ValuesView
from itertools import islice
from typing import Any, Final, TypeAlias

from zope.interface import implementer

from k8sdns.cluster.lookups import Lookups
from k8sdns.cluster.model import (
    KINDS,
    EndpointSlice,
    Key,
    Pod,
    Service,
    Thing,
    key_of,
    kind_of,
)
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.serial import Serial
from k8sdns.cluster.unseen import Unseen
from k8sdns.interfaces import ISink

SWEPT_AT_ONCE: Final = 100
"""Objects; to forget one takes ten microseconds, and some of its neighbours' answers with it."""

Changed: TypeAlias = Callable[[str, str, str], None]


@implementer(ISink)
class Store(Lookups):
    """The cluster as DNS sees it, kept up by its sources, read by authorities.

    `clock` gives Unix seconds; it dates the serials. `recalled_at` is when the copy was true that
    some of it was recalled from, in Unix seconds; None if nothing was.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._serial = Serial(clock)
        self._external_serial = Serial(clock)
        self._unseen: dict[str, Unseen] = {}
        self.synced: set[str] = set()
        self.recalled_at: float | None = None
        self._stale: set[str] = set()
        self._subscribers: list[Changed] = []
        self._slice_observers: list[Callable[[EndpointSlice], None]] = []
        self._waiting: list[tuple[frozenset[str], Callable[[], None]]] = []

    # -- reading ---------------------------------------------------------------------------

    @property
    def serial(self) -> int:
        """The SOA serial: Unix seconds of the last change that an answer can show; 0 before any."""
        return self._serial.value()

    @property
    def external_serial(self) -> int:
        """The same for what is seen from outside: external addresses and host names, ports."""
        return self._external_serial.value()

    def get(self, kind: str, namespace: str, name: str) -> Thing | None:
        """Return one object; a namespace's own `namespace` is ""."""
        found: Thing | None = self._tables[kind].get((namespace, name))
        return found

    def things(self, kind: str) -> ValuesView[Any]:
        """Return a live view of every object of `kind`."""
        return self._tables[kind].values()

    def held(self, kind: str) -> Iterator[Any]:
        """Return an iterator of every object of `kind` that is known now, whatever comes later."""
        table = self._tables[kind]
        return table.held() if isinstance(table, Packed) else iter(list(table.values()))

    def keys(self, kind: str) -> KeysView[Key]:
        """Return a live view of the keys of every object of `kind`."""
        return self._tables[kind].keys()

    def objects(self, kind: str) -> int:
        """Return how many objects of `kind` are known."""
        return len(self._tables[kind])

    def is_synced(self, kinds: Iterable[str]) -> bool:
        """Tell whether each of `kinds` has been listed whole at least once."""
        return self.synced.issuperset(kinds)

    def is_stale(self, kind: str) -> bool:
        """Tell whether contact with the source of `kind` is lost."""
        return kind in self._stale

    # -- hearing of changes ------------------------------------------------------------------

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Call ``changed(kind, namespace, name)`` after each change that an answer can show.

        For a slice, `name` is its Service's, and one that moves is told for both. For a
        namespace, `namespace` is "". Returns what ends the subscription.
        """
        subscribers = self._subscribers
        subscribers.append(changed)

        def unsubscribe() -> None:
            if changed in subscribers:
                subscribers.remove(changed)

        return unsubscribe

    def observe_slices(self, observer: Callable[[EndpointSlice], None]) -> None:
        """Call ``observer(slice)`` for each changed slice that says when its change began."""
        self._slice_observers.append(observer)

    def when_synced(self, kinds: Collection[str], call: Callable[[], None]) -> None:
        """Call ``call()`` once, as soon as each of `kinds` is synced; at once if they are."""
        if self.is_synced(kinds):
            call()
        else:
            self._waiting.append((frozenset(kinds), call))

    # -- what an earlier life left -------------------------------------------------------------

    def recall(self, thing: Thing) -> None:
        """Take an object from a copy: whatever a source says, or a listing leaves out, wins."""
        kind, key = kind_of(thing), key_of(thing)
        if key in self._tables[kind]:
            return
        self.upsert(thing)
        if kind in self._unseen:
            self._unseen[kind].add(key)

    # -- ISink: what sources say ---------------------------------------------------------------

    def upsert(self, thing: Thing) -> None:
        """Take the newest form of an object; one that answers nothing new only replaces the old."""
        kind, key = kind_of(thing), key_of(thing)
        self._touched(kind, key)
        old = self._tables[kind].get(key)
        if old == thing:
            return
        if old is not None:
            self._unfile(key, old)
        self._tables[kind][key] = thing
        self._file(key, thing)
        if old is None or visible(old) != visible(thing):
            self._announce(old, thing)

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Forget one object; an unknown key is nothing."""
        key = (namespace, name)
        self._touched(kind, key)
        old = self._tables[kind].pop(key, None)
        if old is not None:
            self._unfile(key, old)
            self._announce(old, None)

    def seen(self, kind: str, namespace: str, name: str) -> None:
        """Keep what is known of an object that exists but cannot be read, or is ending."""
        self._touched(kind, (namespace, name))

    def listing(self, kind: str) -> None:
        """A full listing begins: mark all that is known of `kind`."""
        self._unseen[kind] = Unseen(self._tables[kind])

    def sweep(self, kind: str) -> bool:
        """Forget at most `SWEPT_AT_ONCE` objects that a listing did not name; tell of more."""
        unseen = self._unseen.get(kind, ())
        for namespace, name in tuple(islice(unseen, SWEPT_AT_ONCE)):
            self.delete(kind, namespace, name)
        return next(iter(unseen), None) is not None

    def listed(self, kind: str) -> None:
        """The listing is whole: sweep what it did not name. `kind` is synced from now on."""
        for namespace, name in self._unseen.pop(kind, ()):
            self.delete(kind, namespace, name)
        self._stale.discard(kind)
        if kind not in self.synced:
            self.synced.add(kind)
            self._call_waiting()

    def stale(self, kind: str) -> None:
        """Contact is lost; what is known stays, and answers."""
        self._stale.add(kind)

    # -- inside ------------------------------------------------------------------------------

    def _touched(self, kind: str, key: Key) -> None:
        self._stale.discard(kind)
        if self._unseen:
            unseen = self._unseen.get(kind)
            if unseen is not None:
                unseen.discard(key)

    def _call_waiting(self) -> None:
        due = [call for kinds, call in self._waiting if self.is_synced(kinds)]
        self._waiting = [entry for entry in self._waiting if not self.is_synced(entry[0])]
        for call in due:
            call()

    def _announce(self, old: Thing | None, new: Thing | None) -> None:
        """Move the serials and tell the subscribers; one of `old` and `new` is given."""
        thing: Any = new if new is not None else old
        kind = kind_of(thing)
        if kind != "namespaces":
            self._serial.move()
        if self._is_seen_outside(old) or self._is_seen_outside(new):
            self._external_serial.move()
        names = {_concerned(side) for side in (old, new) if side is not None}
        for namespace, name in sorted(names):
            for changed in tuple(self._subscribers):
                changed(kind, namespace, name)
        if isinstance(new, EndpointSlice) and new.triggered_at is not None:
            for observer in self._slice_observers:
                observer(new)

    def _is_seen_outside(self, thing: Thing | None) -> bool:
        if isinstance(thing, Service):
            return bool(thing.external_ips) or thing.is_headless
        if isinstance(thing, EndpointSlice):
            service = self.services.get((thing.namespace, thing.service))
            return service is not None and service.is_headless
        return False


def _concerned(thing: Thing) -> Key:
    """Return what subscribers are told: the thing's key, for a slice its Service's."""
    if isinstance(thing, EndpointSlice):
        return (thing.namespace, thing.service)
    return key_of(thing)


def visible(thing: Thing) -> tuple[object, ...]:
    """Return what an answer can show of `thing`: all but its version and its timing."""
    if isinstance(thing, Service):
        return (
            thing.type,
            thing.cluster_ips,
            thing.external_name,
            thing.ports,
            thing.external_ips,
        )
    if isinstance(thing, EndpointSlice):
        return (thing.service, thing.ports, thing.endpoints)
    if isinstance(thing, Pod):
        return (thing.ip,)
    return ()


def everything(store: Store) -> Iterator[Thing]:
    """Yield every object of `store`, kind by kind."""
    for kind in KINDS:
        yield from store.things(kind)
