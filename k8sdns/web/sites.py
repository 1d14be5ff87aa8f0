"""HTTP listeners of the server's own pages: one an address, shared by the directives that name it.

Owns sockets, limits on connections and requests, and which page a path leads to. Listeners
outlive a reload. Of a path that several generations claim, the oldest keeps the page until it
ends: the next one may not be ready yet, and may never come to serve. Refuses to know what the
pages say.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from k8sdns.corefile.kinds import Listen
from k8sdns.errors import ConfigurationError

log = Logger(namespace="k8sdns.web")  # speaks for no directive: several may share a listener

TIMEOUT: Final = 5.0  # seconds that a connection may say nothing (CoreDNS's, too)
MAX_CONNECTIONS: Final = 64  # of one listener; beyond it the oldest is dropped

OpenStreams = Callable[[str, int], "list[socket.socket]"]
Secured = Callable[[Any], Any]  # takes a factory, and returns one that is the same inside TLS


class PlainRequest(Request):
    """A request whose body nobody wants: it is read past and never kept."""

    def gotLength(self, _length: int | None) -> None:
        """Prepare for no body, whatever was announced."""
        super().gotLength(0)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, _octets: bytes) -> None:
        """Forget a part of the body."""


class Channel(HTTPChannel):
    """A connection that its site knows of."""

    totalHeadersSize = 8192
    maxHeaders = 100
    site: PageSite

    def connectionMade(self) -> None:
        """Begin; the site may drop its oldest connection for this one."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self.site.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End."""
        self.site.closed(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def drop(self) -> None:
        """Close at once."""
        transport: Any = self.transport
        transport.abortConnection()


class PageSite(Site):
    """Twisted's Site with a bound on connections and without an access log.

    The oldest connection goes first: whoever holds many open without asking loses them, and a
    probe that has just come in is answered.
    """

    noisy = False
    protocol = Channel  # type: ignore[assignment]

    def __init__(self, pages: Pages, reactor: Any) -> None:
        super().__init__(pages, PlainRequest, timeout=TIMEOUT, reactor=reactor)  # type: ignore[no-untyped-call]
        self._connections: dict[Channel, None] = {}

    def startFactory(self) -> None:
        """Open no access log, and run no clock for it."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def acceptableProtocols(self) -> list[bytes]:
        """Under TLS, speak what `Channel` does: no HTTP/2 (RFC 7301)."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Probes and scrapes are not worth a line each."""

    def opened(self, channel: Channel) -> None:
        """Count a connection in."""
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.drop()
        self._connections[channel] = None

    def closed(self, channel: Channel) -> None:
        """Count a connection out."""
        self._connections.pop(channel, None)

    def close_all(self) -> None:
        """Drop every connection."""
        for channel in list(self._connections):
            channel.drop()


class Pages(Resource):
    """Leads paths to pages; a page is any leaf `Resource`."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pages: dict[bytes, list[Resource]] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def put(self, path: bytes, page: Resource) -> None:
        """Have `page` answer for `path`, as soon as nobody else does."""
        self._pages.setdefault(path, []).append(page)

    def take_away(self, path: bytes, page: Resource) -> None:
        """End what `put` began."""
        pages = self._pages[path]
        pages.remove(page)
        if not pages:
            del self._pages[path]

    def render(self, request: Request) -> Any:
        """Have the page of the request's path answer."""
        request.responseHeaders.removeHeader(b"server")
        pages = self._pages.get(request.path)
        if pages:
            return pages[0].render(request)
        request.setResponseCode(404)
        return text(request, "404 page not found\n")


def text(request: Request, words: str) -> bytes:
    """Return `words` as the body of a plain-text reply."""
    request.setHeader(b"content-type", b"text/plain; charset=utf-8")
    request.setHeader(b"x-content-type-options", b"nosniff")
    return words.encode()


class WebListener(Service):
    """The open sockets of one address, and the site behind them.

    `needed_by` is the directive without whose page the server is not to start; without one a
    failure to listen is logged, and the next reload tries again.
    """

    def __init__(
        self,
        listen: Listen,
        reactor: Any,
        open_streams: OpenStreams,
        secured: Secured | None = None,
    ) -> None:
        self.listen = listen
        self.needed_by = ""
        self.pages = Pages()
        self.ports: list[IListeningPort] = []
        self._site = PageSite(self.pages, reactor)
        self._factory = secured(self._site) if secured is not None else self._site
        self._reactor = reactor
        self._open_streams = open_streams

    def open_nothing(self) -> None:
        """Have no sockets when started: in a server that is only played."""
        self._open_streams = _open_nothing

    def startService(self) -> Deferred[None]:
        """Listen; fails with ConfigurationError where a directive needs it."""
        return Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        try:
            self.ports = await self._opened()
        except Exception as error:  # noqa: BLE001 - endpoints raise what their libraries raise
            if self.needed_by:
                raise ConfigurationError(f"plugin/{self.needed_by}: {error}") from None
            log.error("Failed to start the pages of {at}: {error}", at=self.listen, error=error)
            return
        super().startService()  # type: ignore[no-untyped-call]

    async def _opened(self) -> list[IListeningPort]:
        if self.listen.endpoint and self._open_streams is not _open_nothing:
            endpoint = serverFromString(self._reactor, self.listen.endpoint)
            return [await endpoint.listen(self._factory)]
        ports: list[IListeningPort] = []
        with ExitStack() as opened:  # adopting makes a descriptor of the port's own
            sockets = self._open_streams(self.listen.host, self.listen.port)
            for sock in sockets:
                opened.enter_context(sock)
            try:
                adopt = self._reactor.adoptStreamPort
                for sock in sockets:
                    ports.append(adopt(sock.fileno(), sock.family, self._factory))
            except BaseException:
                for port in ports:
                    port.stopListening()
                raise
        return ports

    async def _close(self) -> None:
        ports, self.ports = self.ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        self._site.close_all()

    def stop_listening(self) -> None:
        """Accept no more connections: whoever probes is to be refused from now on."""
        ports, self.ports = self.ports, []
        for port in ports:
            port.stopListening()

    def stopService(self) -> Deferred[None]:
        """Close everything."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._close())


class Placed(Service):
    """Keeps pages on a listener while it runs."""

    def __init__(self, listener: WebListener, pages: dict[bytes, Resource]) -> None:
        self._listener = listener
        self._placed = pages

    def startService(self) -> None:
        """Put the pages up."""
        super().startService()  # type: ignore[no-untyped-call]
        for path, page in self._placed.items():
            self._listener.pages.put(path, page)

    def stopService(self) -> None:
        """Take the pages away."""
        super().stopService()  # type: ignore[no-untyped-call]
        for path, page in self._placed.items():
            self._listener.pages.take_away(path, page)


def _open_nothing(_host: str, _port: int) -> list[socket.socket]:
    return []


def listener_at(
    listen: Listen,
    context: Any,
    open_streams: OpenStreams,
    secured: Secured | None = None,
    how: str = "",
) -> WebListener:
    """Return the listener of an address, the same one for everybody and over reloads.

    `context` has `share`, `reactor` and `role`; `open_streams(host, port)` opens what TCP needs.
    `how` tells one way of `secured` from another.
    """
    # The pages of a server of several processes are its parent's.
    opens = _open_nothing if context.role == "worker" else open_streams
    listener: WebListener = context.share.take(
        ("web listener", listen, how),
        lambda: WebListener(listen, context.reactor, opens, secured),
    )
    return listener
