"""Connections without sockets: a client and the server in one process, driven by one clock.

Owns: the pair of transports. Refuses to know: what is said over them.
Bytes travel by `clock.callLater(0, …)`: with `task.Clock`, `advance(0)` delivers everything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import (
    IAddress,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

Cut = Callable[[bytes], Iterable[bytes]]
"""How a write is cut into the pieces that arrive; the pieces joined are the write."""


def whole(octets: bytes) -> Iterable[bytes]:
    """Every write arrives as it was written."""
    return (octets,)


@implementer(ITCPTransport)
class MemoryTransport:
    """One end of a connection. What is written arrives at the peer's protocol, in order."""

    disconnecting = False

    def __init__(self, clock: IReactorTime, port: int, peer_port: int, cut: Cut = whole) -> None:
        self.protocol: Any = None
        self.peer: MemoryTransport
        self._clock = clock
        self._addresses = (_loopback(port), _loopback(peer_port))
        self._cut = cut
        self._arriving: deque[bytes | type[Exception]] = deque()
        self._paused = False
        self._scheduled = False
        self._is_over = False

    def write(self, data: bytes) -> None:
        """Send."""
        if data and not self.disconnecting:
            self.peer.arrive(*self._cut(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Send a FIN: the peer sees what was written, then a clean end."""
        self._end(error.ConnectionDone)

    def reset(self) -> None:
        """Send an RST: the peer sees what was written, then ConnectionLost."""
        self._end(error.ConnectionLost)

    def abortConnection(self) -> None:
        """Reset."""
        self.reset()

    def _end(self, reason: type[Exception]) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.peer.arrive(reason)
            self.arrive(reason)

    def arrive(self, *items: bytes | type[Exception]) -> None:
        """Queue what the other end sent."""
        self._arriving.extend(items)
        self._schedule()

    def _schedule(self) -> None:
        if self._arriving and not (self._scheduled or self._paused or self._is_over):
            self._scheduled = True
            self._clock.callLater(0, self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if self._paused or self._is_over or not self._arriving:
            return
        item = self._arriving.popleft()
        if isinstance(item, bytes):
            if not self.disconnecting:
                self.protocol.dataReceived(item)
        else:
            self._is_over = self.disconnecting = True
            self._arriving.clear()
            self.protocol.connectionLost(Failure(item()))
        self._schedule()

    def getHost(self) -> IPv4Address:
        """Our address."""
        return self._addresses[0]

    def getPeer(self) -> IPv4Address:
        """The other end's address."""
        return self._addresses[1]

    def pauseProducing(self) -> None:
        """Deliver nothing until resumed."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Deliver again."""
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """Close."""
        self.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Memory never fills: the producer is left to run."""

    def unregisterProducer(self) -> None:
        """Nothing was registered."""

    def loseWriteConnection(self) -> None:
        """Half-closed connections do not exist here: close."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        """Nothing is delayed."""
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no TCP here."""

    def getTcpKeepAlive(self) -> bool:
        """There is no TCP here."""
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """There is no TCP here."""


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
class MemoryEndpoint:
    """Connects clients to a server's factory; also what `Agent.usingEndpointFactory` takes.

    `is_refusing()` is asked at each connect; `cut` shapes what the client receives.
    """

    def __init__(
        self,
        factory: Any,
        clock: IReactorTime,
        is_refusing: Callable[[], bool] = lambda: False,
        cut: Cut = whole,
    ) -> None:
        self._factory = factory
        self._clock = clock
        self._is_refusing = is_refusing
        self._cut = cut
        self._next_port = 40_000

    def endpointForURI(self, uri: Any) -> MemoryEndpoint:
        """This endpoint, whatever the URI."""
        del uri
        return self

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """A connected client protocol, or ConnectionRefusedError."""
        if self._is_refusing():
            return fail(error.ConnectionRefusedError())
        self._next_port += 1
        client = MemoryTransport(self._clock, self._next_port, 6443)
        server = MemoryTransport(self._clock, 6443, self._next_port, self._cut)
        client.peer, server.peer = server, client
        server.protocol = self._built(self._factory, client.getHost())
        client.protocol = self._built(protocolFactory, server.getHost())
        server.protocol.makeConnection(server)
        client.protocol.makeConnection(client)
        return succeed(client.protocol)

    def _built(self, factory: Any, address: IAddress) -> Protocol:
        protocol: Protocol = factory.buildProtocol(address)
        return protocol


def _loopback(port: int) -> IPv4Address:
    return IPv4Address("TCP", "127.0.0.1", port)
