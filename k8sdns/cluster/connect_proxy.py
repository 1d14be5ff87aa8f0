"""An endpoint that reaches its target through an HTTP proxy's CONNECT (RFC 9110 §9.3.6).

Owns: the request, the proxy's answer, the hand-over of the connection. Refuses to know TLS, which
is wrapped around it, and where the proxy comes from.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns.cluster.access import Secret
from k8sdns.cluster.tokens import basic

MAX_ANSWER = 8192


class ProxyRefused(ConnectionLost):
    """The proxy would not connect us; the message is its status line."""


@implementer(IStreamClientEndpoint)
class ConnectEndpoint:
    """Connects to ``host:port`` by way of `proxy`, itself an endpoint."""

    def __init__(
        self, proxy: IStreamClientEndpoint, host: str, port: int, authorization: bytes = b""
    ) -> None:
        self._proxy = proxy
        bracketed = f"[{host}]" if ":" in host else host
        target = f"{bracketed}:{port}".encode("ascii")
        lines = [b"CONNECT " + target + b" HTTP/1.1", b"Host: " + target]
        if authorization:
            lines.append(b"Proxy-Authorization: " + authorization)
        self._request = b"\r\n".join([*lines, b"", b""])

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Return a Deferred of the protocol, connected to the target."""
        asked: Deferred[IProtocol] = Deferred(lambda _: tunnel.give_up())
        tunnel = _Tunnel(self._request, protocolFactory, asked)
        factory: Factory = Factory.forProtocol(lambda: tunnel)
        factory.noisy = False
        connecting = self._proxy.connect(factory)
        tunnel.connecting = connecting
        connecting.addErrback(tunnel.failed)
        return asked


class _Tunnel(Protocol):
    """Asks the proxy, and becomes a mere wire as soon as the proxy has said 200."""

    transport: Any = None

    def __init__(self, request: bytes, factory: Any, asked: Deferred[IProtocol]) -> None:
        self.connecting: Deferred[Any] | None = None
        self._request = request
        self._factory = factory
        self._asked: Deferred[IProtocol] | None = asked
        self._answer = b""
        self._inner: Any = None

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._answer += data
        head, found, rest = self._answer.partition(b"\r\n\r\n")
        if found:
            self._answered(head.split(b"\r\n")[0], rest)
        elif len(self._answer) > MAX_ANSWER:
            self._refuse("the proxy's answer is too long")

    def _answered(self, status_line: bytes, rest: bytes) -> None:
        words = status_line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1] != b"200":
            self._refuse(f"the proxy answered {status_line[:100].decode('latin-1')!r}")
            return
        self._inner = self._factory.buildProtocol(None)
        self._inner.makeConnection(self.transport)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.callback(self._inner)
        if rest:
            self._inner.dataReceived(rest)

    def _refuse(self, why: str) -> None:
        self.failed(Failure(ProxyRefused(why)))
        self._abort()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()

    def give_up(self) -> None:
        """Drop the attempt: the caller cancelled it."""
        self._asked = None
        if self.connecting is not None:
            self.connecting.cancel()
        self._abort()

    def failed(self, reason: Failure) -> None:
        """Tell the caller, once, that there will be no connection."""
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.errback(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.failed(reason)
        if self._inner is not None:
            self._inner.connectionLost(reason)


def through_proxy(reactor: Any, proxy: Secret, host: str, port: int, timeout: float) -> Any:
    """Return an endpoint for ``host:port`` through the proxy whose URL is `proxy`."""
    parts = urlsplit(proxy.reveal().decode())
    authorization = b""
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        authorization = basic(f"{user}:{password}".encode())
    nearest = HostnameEndpoint(reactor, (parts.hostname or "").encode(), parts.port or 80, timeout)
    return ConnectEndpoint(nearest, host, port, authorization)
