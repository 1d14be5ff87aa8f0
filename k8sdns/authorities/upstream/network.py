"""Sockets and connections towards upstreams, as the system gives them.

Owns opening. Everything above takes this as an argument, so that tests play the network.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IResolutionReceiver
from zope.interface import implementer

from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.gathered import HAS_EPOLL, Gathered, Readers
from k8sdns.authorities.upstream.randomness import Randomness

try:
    from k8sdns.authorities.upstream._connected import Connected
except ImportError:  # not compiled: nothing needs it
    HAS_COMPILED = False
else:
    HAS_COMPILED = True

DIAL_SECONDS = 5.0
_PORT_TRIES = 4
_DEFAULT_PORTS = (32768, 60999)


class Network(Protocol):
    """What the transports need of the outside."""

    def open_datagram(self, destination: Destination) -> Any:
        """Return a non-blocking UDP socket connected to `destination`; raises OSError.

        Where nothing has come its `recv` raises BlockingIOError, or returns None.
        """

    def readers(self, destination: Destination) -> Readers:
        """Return what reads the UDP sockets towards `destination`."""

    def dial(
        self, destination: Destination, factory: IProtocolFactory, tls: Any = None
    ) -> Deferred[IProtocol]:
        """Connect a protocol of `factory`, over TLS if its options are given."""

    def page_status(self, destination: Destination, port: int, path: str) -> Deferred[int]:
        """Ask the host of `destination` for a page over HTTP; fires with the status."""

    def addresses_of(self, name: str) -> Deferred[list[str]]:
        """Look a host name up as the system does; fires with addresses, IPv4 first."""


class SystemNetwork:
    """The network of this host; `source_address` is what queries leave from, "" for any."""

    def __init__(self, reactor: Any, randomness: Randomness, source_address: str = "") -> None:
        self._reactor = reactor
        self._randomness = randomness
        self._source_address = source_address
        self._ports = ephemeral_ports()

    def open_datagram(self, destination: Destination) -> Any:
        """Return a UDP socket on a port nobody can guess (RFC 5452 §9.2), connected."""
        is_ipv6 = ":" in destination.host
        sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            self._bind(sock)
            sock.connect(socket_address(destination))
        except BaseException:
            sock.close()
            raise
        return Connected(sock) if HAS_COMPILED else sock

    def _bind(self, sock: socket.socket) -> None:
        first, last = self._ports
        for _ in range(_PORT_TRIES):
            try:
                sock.bind((self._source_address, first + self._randomness.below(last - first + 1)))
            except OSError:
                continue  # taken; the kernel chooses at random too, should all of them be
            return
        sock.bind((self._source_address, 0))

    def readers(self, destination: Destination) -> Readers:
        """Return one place in the reactor for all of them, where the system knows such a thing."""
        reactor: Readers = self._reactor
        return Gathered(reactor, f"upstream {destination}") if HAS_EPOLL else reactor

    def dial(
        self, destination: Destination, factory: IProtocolFactory, tls: Any = None
    ) -> Deferred[IProtocol]:
        """Connect over TCP, or TLS."""
        endpoint = self._endpoint(destination.host, destination.port)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        dialled: Deferred[IProtocol] = endpoint.connect(factory)
        return dialled

    def _endpoint(self, host: str, port: int) -> Any:
        kind: Any = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        source = (self._source_address, 0) if self._source_address else None
        return kind(self._reactor, host, port, DIAL_SECONDS, source)

    def page_status(self, destination: Destination, port: int, path: str) -> Deferred[int]:
        """GET the page."""
        endpoint = self._endpoint(destination.host, port)
        # Imported here: few upstreams are asked for a page.
        from k8sdns.authorities.upstream.webpage import status_of

        return status_of(self._reactor, endpoint, destination.host, port, path)

    def addresses_of(self, name: str) -> Deferred[list[str]]:
        """Look a host name up in the system's hosts file and name servers."""
        receiver = _Addresses()
        self._reactor.nameResolver.resolveHostName(receiver, name)
        return receiver.done


@implementer(IResolutionReceiver)
class _Addresses:
    """Gathers what the reactor's resolver finds."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self._found: dict[str, None] = {}

    def resolutionBegan(self, _resolution: Any) -> None:
        """Nothing was found yet."""

    def addressResolved(self, address: Any) -> None:
        """Take one address; it comes once for each type of socket."""
        self._found[address.host] = None

    def resolutionComplete(self) -> None:
        """Everything was found."""
        self.done.callback(sorted(self._found, key=lambda host: ":" in host))


def socket_address(destination: Destination) -> tuple[Any, ...]:
    """Return a destination as the socket module has it; an IPv6 scope becomes its index."""
    host, port = destination.host, destination.port
    if "%" in host:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        return found[0][4]
    return host, port


def ephemeral_ports() -> tuple[int, int]:
    """Return the first and last port that the kernel takes for outgoing sockets (ip(7))."""
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return _DEFAULT_PORTS
    return first, last
