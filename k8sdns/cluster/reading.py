"""Bytes of one response to events of a reflector: decodes watch lines and list items.

Owns: the shapes of watch events, and what becomes of an object that cannot be read: it is counted
and told, what is known of it is kept, the stream goes on. Refuses to know connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from k8sdns.cluster.model import Kind
from k8sdns.cluster.objects import OBJECT_TYPES, VIEWS, Metadata
from k8sdns.cluster.reflection import Action
from k8sdns.cluster.reflector import Reflector
from k8sdns.cluster.statuses import Status
from k8sdns.cluster.streams import UNREADABLE, LineSplitter, ListSplitter, StreamError

Perform = Callable[[list[Action]], None]
Complain = Callable[[str], None]


class _WatchLine(msgspec.Struct, gc=False):
    type: str
    object: msgspec.Raw


class _Annotations(msgspec.Struct, gc=False):
    initial_events_end: str | None = msgspec.field(default=None, name="k8s.io/initial-events-end")


class _BookmarkMetadata(msgspec.Struct, gc=False, rename="camel"):
    resource_version: str = ""
    annotations: _Annotations | None = None


class _Bookmark(msgspec.Struct, gc=False):
    metadata: _BookmarkMetadata


class _Named(msgspec.Struct, gc=False):
    metadata: Metadata


_decode_line = msgspec.json.Decoder(_WatchLine).decode
_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode
_decode_name = msgspec.json.Decoder(_Named).decode
_decode_status = msgspec.json.Decoder(Status).decode


class WatchReader:
    """Reads the body of a watch; `complain` is told, in words, of what was passed over."""

    def __init__(
        self, kind: Kind, reflector: Reflector, perform: Perform, complain: Complain
    ) -> None:
        self._reflector = reflector
        self._perform = perform
        self._complain = complain
        self._lines = LineSplitter()
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(OBJECT_TYPES[kind]).decode
        self._view = VIEWS[kind]

    def received(self, octets: bytes) -> None:
        """Take octets of the body; raises `StreamError` for what is no stream of events."""
        for line in self._lines.feed(octets):
            self._perform(self._read(line))

    def ended(self, why: str) -> None:
        """The body is over; a partial last line is dropped."""
        self._perform(self._reflector.ended(why))

    def _read(self, line: bytes) -> list[Action]:
        try:
            event = _decode_line(line)
            if event.type in ("ADDED", "MODIFIED"):
                return self._read_object(event.object)
            if event.type == "DELETED":
                meta = _metadata(event.object)
                return self._reflector.deleted(
                    meta.namespace or "", meta.name, meta.resource_version or ""
                )
            if event.type == "BOOKMARK":
                return self._read_bookmark(event.object)
            if event.type == "ERROR":
                return self._reflector.error_received(_decode_status(event.object))
        except UNREADABLE as error:
            self._complain(f"an event that cannot be read: {error}")
            return []
        self._complain(f"an event of unknown type {event.type[:40]!r}")
        return []

    def _read_object(self, raw: msgspec.Raw) -> list[Action]:
        try:
            decoded: Any = self._decode(raw)
            thing = self._view(decoded)
            meta = decoded.metadata
        except UNREADABLE as error:
            thing, meta = None, _metadata(raw)
            self._complain(f"{meta.namespace or ''}/{meta.name} cannot be read: {error}")
        version = meta.resource_version or ""
        if thing is None or not meta.name:
            return self._reflector.passed_over(meta.namespace or "", meta.name, version)
        return self._reflector.upserted(thing, version)

    def _read_bookmark(self, raw: msgspec.Raw) -> list[Action]:
        meta = _decode_bookmark(raw).metadata
        ends = meta.annotations is not None and meta.annotations.initial_events_end == "true"
        return self._reflector.bookmarked(meta.resource_version, ends_initial_events=ends)


class ListReader:
    """Reads the body of one page of a list, item by item as it comes."""

    def __init__(
        self, kind: Kind, reflector: Reflector, perform: Perform, complain: Complain
    ) -> None:
        self._reflector = reflector
        self._perform = perform
        self._complain = complain
        self._splitter = ListSplitter()
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(OBJECT_TYPES[kind]).decode
        self._view = VIEWS[kind]

    def received(self, octets: bytes) -> None:
        """Take octets of the body; raises `StreamError` for what is no list."""
        for item in self._splitter.feed(octets):
            self._perform(self._read(item))

    def ended(self, why: str) -> None:
        """The body is over: the page is whole, or it was cut short."""
        try:
            metadata, items = self._splitter.finish()
        except StreamError:
            self._perform(self._reflector.ended(why))
            return
        for item in items:
            self._perform(self._read(item))
        self._perform(
            self._reflector.page_ended(metadata.resource_version, metadata.continue_token or "")
        )

    def _read(self, item: bytes) -> list[Action]:
        try:
            decoded: Any = self._decode(item)
            thing = self._view(decoded)
            if thing is not None and decoded.metadata.name:
                return self._reflector.listed(thing)
            meta = decoded.metadata
        except UNREADABLE as error:
            try:
                meta = _metadata(msgspec.Raw(item))
            except UNREADABLE:
                meta = Metadata()
            self._complain(f"{meta.namespace or ''}/{meta.name} cannot be read: {error}")
        return self._reflector.listed_unread(meta.namespace or "", meta.name)


def _metadata(raw: msgspec.Raw) -> Metadata:
    return _decode_name(raw).metadata
