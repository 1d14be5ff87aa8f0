"""A network of the imagination: what upstreams are sent, and what they say, in the test's hands.

Owns a clock, UDP sockets and stream connections that lead nowhere but to the test. Provides what
`k8sdns.authorities.upstream.network.Network` asks for.
"""

from __future__ import annotations

import errno
import struct
from collections import deque
from typing import Any, NamedTuple

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from k8sdns.authorities.upstream.destination import Destination

_LENGTH = struct.Struct("!H")


class FakeReactor(Clock):
    """A clock that knows who reads which socket."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, Any] = {}

    def addReader(self, reader: Any) -> None:
        """Take note of a reader."""
        self.readers[reader.fileno()] = reader

    def removeReader(self, reader: Any) -> None:
        """Forget a reader."""
        self.readers.pop(reader.fileno(), None)

    def addSystemEventTrigger(self, *_arguments: Any) -> None:
        """Nothing ever happens to this reactor."""


class Sent(NamedTuple):
    """One query that an upstream was sent: over ``udp``, ``tcp`` or ``tls``, from which socket."""

    over: str
    to: Destination
    message: bytes
    source: Any


class FakeDatagrams:
    """A connected UDP socket."""

    def __init__(self, network: FakeNetwork, destination: Destination, number: int) -> None:
        self._network = network
        self._destination = destination
        self._number = number
        self._inbox: deque[bytes | OSError] = deque()
        self.is_closed = False

    def fileno(self) -> int:
        return self._number

    def send(self, message: bytes) -> int:
        """Send a query."""
        if self._destination.host in self._network.unreachable:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self._network.sent.append(Sent("udp", self._destination, message, self))
        return len(message)

    def recv(self, size: int) -> bytes:
        """Receive what the test delivered."""
        if not self._inbox:
            raise BlockingIOError
        thing = self._inbox.popleft()
        if isinstance(thing, OSError):
            raise thing
        return thing[:size]

    def deliver(self, thing: bytes | OSError) -> None:
        """Let a datagram arrive, or the news that there is nobody (ICMP)."""
        reader = self._network.reactor.readers.get(self._number)
        if reader is not None:
            self._inbox.append(thing)
            reader.doRead()

    def close(self) -> None:
        self.is_closed = True


class FakeStream:
    """The transport of one connection."""

    disconnecting = False

    def __init__(self, network: FakeNetwork, destination: Destination, protocol: Any) -> None:
        self._network = network
        self._destination = destination
        self._protocol = protocol
        self._buffer = b""
        self.is_closed = False

    def write(self, octets: bytes) -> None:
        """Take what the protocol sends apart into queries."""
        self._buffer += octets
        while len(self._buffer) >= 2:
            end = 2 + _LENGTH.unpack_from(self._buffer)[0]
            if end > len(self._buffer):
                return
            over = "tls" if self._destination.is_tls else "tcp"
            message, self._buffer = self._buffer[2:end], self._buffer[end:]
            self._network.sent.append(Sent(over, self._destination, message, self))

    def deliver(self, message: bytes) -> None:
        """Let a message arrive."""
        if not self.is_closed:
            self._protocol.dataReceived(_LENGTH.pack(len(message)) + message)

    def loseConnection(self) -> None:
        """Our side ends it."""
        self.hang_up()

    abortConnection = loseConnection

    def hang_up(self) -> None:
        """The upstream ends it."""
        if not self.is_closed:
            self.is_closed = True
            self._network.streams.remove(self)
            self._protocol.connectionLost(Failure(error.ConnectionDone()))


class FakeNetwork:
    """Upstreams that do only what the test says.

    `sent` are the queries that nobody looked at yet. Addresses in `unreachable` cannot be sent
    datagrams, those in `refusing` take no connections, and those in `hanging` never finish making
    one. `pages` are the statuses of what the hosts show over HTTP, 200 without one, and
    `pages_asked` the URLs. `hosts` are the addresses of host names, as the system knows them.
    """

    def __init__(self, reactor: FakeReactor) -> None:
        self.reactor = reactor
        self.sent: deque[Sent] = deque()
        self.sockets: list[FakeDatagrams] = []
        self.streams: list[FakeStream] = []
        self.unreachable: set[str] = set()
        self.refusing: set[str] = set()
        self.hanging: set[str] = set()
        self.pages: dict[str, int] = {}
        self.pages_asked: list[str] = []
        self.hosts: dict[str, list[str]] = {}

    def open_datagram(self, destination: Destination) -> FakeDatagrams:
        """Return a UDP socket."""
        sock = FakeDatagrams(self, destination, 100 + len(self.sockets))
        self.sockets.append(sock)
        return sock

    def readers(self, _destination: Destination) -> FakeReactor:
        """Return what reads UDP sockets."""
        return self.reactor

    def dial(self, destination: Destination, factory: Any, _tls: Any = None) -> Deferred[Any]:
        """Connect a protocol."""
        if destination.host in self.refusing:
            return fail(error.ConnectionRefusedError("Connection refused"))
        dialled: Deferred[Any] = Deferred()
        if destination.host in self.hanging:
            return dialled
        protocol = factory.buildProtocol(IPv4Address("TCP", destination.host, destination.port))
        stream = FakeStream(self, destination, protocol)
        self.streams.append(stream)
        protocol.makeConnection(stream)
        dialled.callback(protocol)
        return dialled

    def page_status(self, destination: Destination, port: int, path: str) -> Deferred[int]:
        """Show a page."""
        self.pages_asked.append(f"http://{destination.host}:{port}{path}")
        if destination.host in self.hanging:
            return Deferred()
        if destination.host in self.refusing:
            return fail(error.ConnectionRefusedError("Connection refused"))
        return succeed(self.pages.get(destination.host, 200))

    def addresses_of(self, name: str) -> Deferred[list[str]]:
        """Look a host name up."""
        return succeed(self.hosts.get(name, []))
