"""WATCH: the lines of one stream, from its first event to its end. No I/O.

Owns: replay, WatchList, bookmarks, the events of objects that enter or leave a selector.
Refuses to know: HTTP and transports; it is given `send` and `end`.
Source: apiserver `storage/cacher`, KEP-3157 (WatchList), KEP-956 (bookmarks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from k8sdns.testing.apiserver.options import ListOptions, check_watch
from k8sdns.testing.apiserver.resources import Object
from k8sdns.testing.apiserver.shapes import SHAPES, shaped
from k8sdns.testing.apiserver.statuses import (
    ApiError,
    progress_unavailable,
    too_large_version,
    too_old,
)
from k8sdns.testing.apiserver.storage import Change, Shelf, Storage

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass
class WatchConduct:
    """How this server's watches behave; change the fields at any time. Times in seconds.

    `watch_list`: the feature gate; off, a WatchList is answered 422.
    `old_etcd`: WatchList is accepted and ends in one ERROR 500 (what an etcd before 3.4.25 does),
    and there are no bookmarks. `initial_events_end`: False never sends the bookmark that ends a
    WatchList's first part. `gone_over_http`: too old a version is HTTP 410, not an ERROR event.
    `short`: every watch ends as soon as it was opened.
    """

    watch_list: bool = True
    old_etcd: bool = False
    initial_events_end: bool = True
    gone_over_http: bool = False
    short: bool = False
    bookmark_every: float = 60.0
    bookmark_before_end: float = 2.0
    default_timeout: float = 1800.0


def event_line(event: str, thing: Object) -> bytes:
    """One event as it goes over the wire: compact JSON and a line feed."""
    return msgspec.json.encode({"type": event, "object": thing}) + b"\n"


class WatchStream:
    """One open watch. `send(bytes)` takes lines, `end()` ends the response cleanly."""

    def __init__(
        self,
        storage: Storage,
        shelf: Shelf,
        options: ListOptions,
        conduct: WatchConduct,
        clock: IReactorTime,
    ) -> None:
        self.shelf = shelf
        self.options = options
        self._storage = storage
        self._conduct = conduct
        self._clock = clock
        self._timers: list[IDelayedCall] = []
        self._selects = options.selects
        self.is_open = False
        self.shape: Callable[[Object], Object] = lambda thing: thing
        self._check()

    def _check(self) -> None:
        """Raise what is answered before the stream begins."""
        check_watch(self.options, watch_list=self._conduct.watch_list)
        wanted, current = self.options.revision, self._storage.revision
        if self.options.initial_events and wanted > current:
            raise too_large_version(wanted, current)
        if self._conduct.gone_over_http and self._is_gone():
            raise too_old(wanted, self.shelf.floor)

    def _is_gone(self) -> bool:
        options = self.options
        return not options.initial_events and 0 < options.revision < self.shelf.floor

    def start(self, send: Callable[[bytes], None], end: Callable[[], None]) -> None:
        """Send what comes first, then follow the shelf until `stop`."""
        self._send, self._end = send, end
        self.is_open = True
        if self._conduct.short:
            self.finish()
        elif self.options.initial_events and self._conduct.old_etcd:
            self.fail(progress_unavailable())
        elif self._is_gone():
            self.fail(too_old(self.options.revision, self.shelf.floor))
        else:
            self._send_first()
            self.shelf.watchers.append(self._changed)
            self._set_timers()

    def _send_first(self) -> None:
        options = self.options
        if options.initial_events:
            self._send_all()
            if options.bookmarks and self._conduct.initial_events_end:
                self.bookmark(initial_events_end=True)
        elif options.revision:
            for change in self.shelf.since(options.revision):
                self._changed(change)
        elif options.initial_events is None:
            self._send_all()
            # Not asked for, yet a server that can do WatchList says it here too.
            if options.bookmarks and self._conduct.initial_events_end and self._conduct.watch_list:
                self.bookmark(initial_events_end=True)

    def _send_all(self) -> None:
        # Not sorted by version: clients must not take the order for one.
        for thing in self.shelf.objects.values():
            if self._selects(thing):
                self.event("ADDED", thing)

    def _set_timers(self) -> None:
        conduct = self._conduct
        lasts = float(self.options.timeout or conduct.default_timeout)
        self._timers.append(self._clock.callLater(lasts, self.finish))
        if self.options.bookmarks and not conduct.old_etcd:
            self._timers.append(self._clock.callLater(conduct.bookmark_every, self._periodic))
            if lasts > conduct.bookmark_before_end:
                last = lasts - conduct.bookmark_before_end
                self._timers.append(self._clock.callLater(last, self.bookmark))

    def _periodic(self) -> None:
        self.bookmark()
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._clock.callLater(self._conduct.bookmark_every, self._periodic))

    def _changed(self, change: Change) -> None:
        if change.revision <= self.options.revision:
            return
        was = change.before is not None and self._selects(change.before)
        is_now = change.type != "DELETED" and self._selects(change.thing)
        if was and is_now:
            self.event("MODIFIED", change.thing)
        elif is_now:
            self.event("ADDED", change.thing)
        elif was and change.before is not None:
            left = change.before | {
                "metadata": change.before["metadata"] | {"resourceVersion": str(change.revision)}
            }
            self.event("DELETED", left)

    def event(self, event: str, thing: Object) -> None:
        """Send one event; objects go out in the `shape` that was asked for."""
        if self.is_open:
            shown = thing if event in ("ERROR", "BOOKMARK") else self.shape(thing)
            self._send(event_line(event, shown))

    def raw(self, octets: bytes) -> None:
        """Send anything at all: half a line, a blank one, no JSON."""
        if self.is_open:
            self._send(octets)

    def bookmark(self, *, initial_events_end: bool = False) -> None:
        """Send a bookmark of now: an object that has a version and nothing else."""
        metadata: Object = {"resourceVersion": str(self._storage.revision)}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        resource = self.shelf.resource
        empty: Object = {"kind": resource.kind, "apiVersion": resource.api_version}
        empty |= {"metadata": metadata}
        known = (resource.group, resource.kind) in SHAPES
        self.event("BOOKMARK", shaped(empty, resource) if known else empty | {"spec": {}})

    def fail(self, error: ApiError) -> None:
        """Send an ERROR event and end."""
        self.event("ERROR", error.status())
        self.finish()

    def finish(self) -> None:
        """End the response cleanly, as at timeoutSeconds or when the server shuts down."""
        if self.is_open:
            self.stop()
            self._end()

    def stop(self) -> None:
        """Follow no more; the connection is gone or about to end."""
        self.is_open = False
        if self._changed in self.shelf.watchers:
            self.shelf.watchers.remove(self._changed)
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        self._timers = []
