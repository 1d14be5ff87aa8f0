"""Sockets and connections towards upstreams, as the system gives them.

Owns opening. Everything above takes this as an argument, so that tests play the network.
"""

from __future__ import annotations

import socket
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory

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
        kind = TCP6ClientEndpoint if ":" in destination.host else TCP4ClientEndpoint
        source = (self._source_address, 0) if self._source_address else None
        endpoint: Any = kind(
            self._reactor, destination.host, destination.port, DIAL_SECONDS, source
        )
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        dialled: Deferred[IProtocol] = endpoint.connect(factory)
        return dialled


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
