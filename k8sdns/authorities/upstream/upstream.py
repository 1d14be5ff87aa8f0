"""One upstream server: its sockets, its connections, its health, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from k8sdns.authorities.upstream.attempt import Asker, Attempt
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.network import Network
from k8sdns.authorities.upstream.query import Query
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.stream import StreamPool
from k8sdns.authorities.upstream.tls import TlsFor, tls_for
from k8sdns.authorities.upstream.udp import LIFETIME_SECONDS, DatagramPool
from k8sdns.authorities.upstream.waitlist import Waitlist


class Surroundings(NamedTuple):
    """What upstreams take from outside."""

    clock: Any
    network: Network
    randomness: Randomness


class TransportSettings(NamedTuple):
    """How connections are kept; times in seconds."""

    read_timeout: float = 2.0
    expire: float = 10.0  # an idle socket or connection is closed after this
    max_age: float = 0.0  # an older connection takes no more queries; 0: any age
    max_idle: int = 0  # idle connections kept; 0: any number
    tls: TlsFor | None = None  # None: the system's trust, the address as the name


class Upstream:
    """A name server that can be asked; `in_flight` are the attempts that wait for it now."""

    def __init__(
        self,
        destination: Destination,
        around: Surroundings,
        settings: TransportSettings = TransportSettings(),  # noqa: B008 - a constant
    ) -> None:
        self.destination = destination
        self.name = str(destination)
        self.now: Callable[[], float] = around.clock.seconds
        self.timeouts = 0
        self.failures = 0  # attempts without a reply, of those that clients waited for
        self.mismatches = 0
        self.waitlist = Waitlist(around.clock, settings.read_timeout)
        self.datagrams = DatagramPool(
            destination,
            around.network,
            around.clock,
            around.randomness,
            idle_seconds=settings.expire,
            lifetime_seconds=min(settings.max_age or LIFETIME_SECONDS, LIFETIME_SECONDS),
        )
        self.streams = StreamPool(
            destination,
            around.network,
            around.clock,
            around.randomness,
            tls=(settings.tls or tls_for())(destination) if destination.is_tls else None,
            idle_seconds=settings.expire,
            max_age_seconds=settings.max_age,
            max_idle=settings.max_idle,
        )
        self.stream_transport = "tls" if destination.is_tls else "tcp"
        self.in_flight = 0

    def ask(self, query: Query, asker: Asker, *, over_stream: bool = False) -> Attempt:
        """Send `query`; the asker's `ended` is called once, perhaps before this returns."""
        attempt = Attempt(self, query, asker)
        self.in_flight += 1
        if over_stream or self.destination.is_tls:
            attempt.over_stream()
        else:
            attempt.over_datagram()
        return attempt

    def ended(self) -> None:
        """An attempt is over."""
        self.in_flight -= 1

    def close(self) -> None:
        """Close every socket and connection; what waits for a reply fails."""
        waiting: list[Any] = self.waitlist.stop()
        self.datagrams.close()
        self.streams.close()
        for attempt in waiting:
            attempt.closed()
