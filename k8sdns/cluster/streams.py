"""Cuts what an API server sends into whole JSON texts: lines of a watch, items of a list.

Owns: where one text ends and the next begins, whatever way the octets arrive, and the bounds.
Refuses to know what the texts mean.
"""

from __future__ import annotations

import msgspec

from k8sdns.errors import K8sDNSError

MAX_LINE = 8 << 20
MAX_LIST = 512 << 20
"""Octets of a list that cannot be cut into items and has to be held whole."""
_MAX_HEAD = 64 * 1024
_MAX_MISSES = 64

_ITEMS = b'"items":['
# Between two items. It cannot stand inside a string, where quotes are escaped; a cut at one that
# stands deeper gives no whole JSON text, and is undone.
_BOUNDARY = b'},{"metadata":{'

_raw = msgspec.json.Decoder(msgspec.Raw)


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for a text that it cannot take; the last for one nested without end."""


class StreamError(K8sDNSError):
    """A body that breaks its bounds or its format; the request has failed."""


class LineSplitter:
    """Cuts a stream into lines, without their ends and without blank ones."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._held = 0

    def feed(self, octets: bytes) -> list[bytes]:
        """Return the lines that `octets` complete; raises `StreamError` for an endless line."""
        first, *rest = octets.split(b"\n")
        self._hold(first)
        if not rest:
            return []
        lines = [b"".join(self._pieces), *rest[:-1]]
        self._pieces, self._held = [], 0
        self._hold(rest[-1])
        return [line for line in lines if line.strip()]

    def _hold(self, piece: bytes) -> None:
        self._held += len(piece)
        if self._held > self._limit:
            raise StreamError(f"a line is longer than {self._limit} octets")
        if piece:
            self._pieces.append(piece)


class ListMetadata(msgspec.Struct, rename="camel"):
    """What a list says of itself: its version, and what to ask for its next page."""

    resource_version: str = ""
    continue_token: str | None = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct):
    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(_List).decode


class ListSplitter:
    """Cuts the body of a list into items as it comes, so that no step decodes megabytes.

    It relies on the order in which API servers write a list (metadata before items) only for
    speed: any other valid body is held, and cut at its end.
    """

    def __init__(self, limit: int = MAX_LIST) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._metadata: ListMetadata | None = None
        self._searched = 0
        self._misses = 0
        self._is_cutting = True

    def feed(self, octets: bytes) -> list[bytes]:
        """Return the items that `octets` complete; raises `StreamError` when it holds too much."""
        self._buffer += octets
        if len(self._buffer) > self._limit:
            raise StreamError(f"more than {self._limit} octets of a list at once")
        if not self._is_cutting or (self._metadata is None and not self._read_head()):
            return []
        return self._cut()

    def finish(self) -> tuple[ListMetadata, list[bytes]]:
        """Return the metadata and the last items; raises `StreamError` for half a list."""
        text = bytes(self._buffer)
        if self._metadata is not None:
            text = b'{"metadata":{},"items":[' + text
        try:
            last = _decode_list(text)
        except RecursionError:
            return self._finish_deep()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StreamError("the list is cut short or is no list") from None
        metadata = self._metadata or last.metadata
        return metadata, [bytes(item) for item in last.items or ()]

    def _finish_deep(self) -> tuple[ListMetadata, list[bytes]]:
        """Return a last item that is nested too deep to be looked at: it costs no other item."""
        last = bytes(self._buffer.rstrip())
        if self._metadata is None or not self._is_cutting or not last.endswith(b"]}"):
            raise StreamError("the list is nested too deep")
        return self._metadata, [last[:-2]]

    def _read_head(self) -> bool:
        at = self._buffer.find(_ITEMS)
        if at < 0:
            self._is_cutting = len(self._buffer) < _MAX_HEAD
            return False
        try:
            self._metadata = _decode_list(bytes(self._buffer[:at]) + b'"items":[]}').metadata
        except UNREADABLE:
            self._is_cutting = False
            return False
        del self._buffer[: at + len(_ITEMS)]
        return True

    def _cut(self) -> list[bytes]:
        items: list[bytes] = []
        start = 0
        while (at := self._buffer.find(_BOUNDARY, max(start, self._searched))) >= 0:
            piece = bytes(self._buffer[start : at + 1])
            if _is_whole(piece):
                items.append(piece)
                start = at + 2
                self._misses = 0
            self._searched = at + 2
            self._misses += 1
            if self._misses > _MAX_MISSES:
                # Each miss copies all that is held: broken JSON must not cost a square of it.
                self._is_cutting = False
                break
        del self._buffer[:start]
        self._searched = max(0, len(self._buffer) - len(_BOUNDARY) + 1, self._searched - start)
        return items


def _is_whole(piece: bytes) -> bool:
    try:
        _raw.decode(piece)
    except RecursionError:
        return True  # unreadable by itself, and no reason to hold what follows
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
