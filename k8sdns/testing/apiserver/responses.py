"""Bytes out: JSON bodies as a Go server frames them, and the response of an open watch.

Owns: encoding, gzip, Content-Length against chunks, back-pressure of watches.
Refuses to know: what the bodies mean.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.interfaces import IPushProducer
from twisted.web.server import Request
from zope.interface import implementer

from k8sdns.testing.apiserver.faults import FaultyConnection
from k8sdns.testing.apiserver.statuses import ApiError
from k8sdns.testing.apiserver.watching import WatchStream

GZIP_FROM = 128 * 1024
"""Bytes from which a list is compressed for a client that takes gzip (level 1, as Go's server)."""

_WHOLE_BELOW = 2048  # Go's net/http knows the length of a body that fits its buffer
_PIECE = 32 * 1024
BACKLOG_LIMIT = 64 * 1024 * 1024
"""Bytes kept for a watch whose client does not read; one more ends it, as a real server does."""


def connection_of(request: Request) -> FaultyConnection | None:
    """The connection that a request came by; None once it is gone."""
    transport = getattr(request.channel, "transport", None)
    return transport if isinstance(transport, FaultyConnection) else None


def send_json(request: Request, code: int, body: Any, *, compress: bool = False) -> None:
    """Answer with `body` as compact JSON; large ones in chunks, gzip if asked and allowed."""
    octets = msgspec.json.encode(body) + b"\n"
    request.setHeader("Content-Type", "application/json")
    accepts = request.getHeader("Accept-Encoding") or ""
    if compress and len(octets) > GZIP_FROM and "gzip" in accepts:
        request.setHeader("Content-Encoding", "gzip")
        request.setHeader("Vary", "Accept-Encoding")
        octets = gzip.compress(octets, 1)
    send(request, code, octets)


def send(request: Request, code: int, octets: bytes) -> None:
    """Answer with these octets and finish."""
    request.setResponseCode(code)
    if len(octets) < _WHOLE_BELOW:
        request.setHeader("Content-Length", str(len(octets)))
    is_gone: list[object] = []
    request.notifyFinish().addErrback(is_gone.append)
    request.write(b"")
    for start in range(0, len(octets), _PIECE):
        request.write(octets[start : start + _PIECE])
    if not is_gone:
        request.finish()


def send_no_page(request: Request) -> None:
    """Answer as Go's own server does for a path that nothing is served below."""
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    send(request, 404, b"404 page not found\n")


def send_error(request: Request, error: ApiError) -> None:
    """Answer with a Status."""
    if error.retry_after is not None:
        request.setHeader("Retry-After", str(error.retry_after))
    send_json(request, error.code, error.status())


@implementer(IPushProducer)
class WatchResponse:
    """The HTTP response of one watch: headers at once, then lines as they come.

    `hold` keeps lines back so that `release` sends them as one chunk.
    """

    def __init__(self, request: Request, stream: WatchStream) -> None:
        self.stream = stream
        self._request = request
        self._kept = bytearray()
        self._paused = False
        self._held = False
        self._is_over = False

    def start(self, gone: Callable[[WatchResponse], None]) -> None:
        """Send the headers and let the stream begin; `gone(self)` is called when it is over."""
        request = self._request
        self._gone = gone
        request.notifyFinish().addBoth(self._ended)
        request.setHeader("Content-Type", "application/json")
        request.write(b"")
        # Go's server flushes nothing while it has more to write: what comes first comes together.
        self._held = True
        request.registerProducer(self, True)
        self.stream.start(self._line, self._finish)
        self.release()

    def hold(self) -> None:
        """Keep what is sent from now on."""
        self._held = True

    def release(self) -> None:
        """Send what was kept, as one chunk."""
        self._held = False
        self._flush()

    def break_off(self, how: Any = "reset") -> None:
        """End the connection in the middle of the response: "reset" or "close" (no last chunk)."""
        self.stream.stop()
        connection = connection_of(self._request)
        if connection is not None:
            connection.break_off(how)

    def fall_silent(self) -> None:
        """Say nothing more, as if the machine behind the connection had hung."""
        connection = connection_of(self._request)
        if connection is not None:
            connection.fall_silent()

    def _line(self, line: bytes) -> None:
        self._kept += line
        if len(self._kept) > BACKLOG_LIMIT:
            self._kept.clear()
            self.stream.finish()
        self._flush()

    def _flush(self) -> None:
        if self._kept and not (self._paused or self._held or self._is_over):
            kept, self._kept = bytes(self._kept), bytearray()
            self._request.write(kept)

    def _finish(self) -> None:
        self._held = self._paused = False
        self._flush()
        if not self._is_over:
            self._request.unregisterProducer()
            self._request.finish()

    def _ended(self, _: object) -> None:
        self._is_over = True
        self._kept.clear()
        self.stream.stop()
        self._gone(self)

    def pauseProducing(self) -> None:
        """The client does not keep up."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._paused = False
        self._flush()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stream.stop()
