"""The sockets of all workers: the parent's, who opens and keeps them, and a worker's copies.

Owns which worker has which. A worker has a datagram socket of its own for every address
(SO_REUSEPORT: the kernel spreads clients over them); stream sockets are one for all. The parent
keeps every socket open: what is queued for a worker that died is answered by its replacement.
Refuses to read from any.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from k8sdns.metrics import SOCKET_BUFFER, Metrics
from k8sdns.server import sockets
from k8sdns.server.listeners import Listener, ListenKey, WrittenAt, placed
from k8sdns.server.sockets import ListenAddress
from k8sdns.workers.control import Place


class Opened(NamedTuple):
    """The sockets of one address: one stream socket, and a datagram socket a worker, or none."""

    address: ListenAddress
    stream: socket.socket
    datagrams: tuple[socket.socket, ...]

    def close(self) -> None:
        """Close all of them."""
        for sock in (self.stream, *self.datagrams):
            sock.close()


class WorkerSockets:
    """Every listening socket of a server of `workers` workers."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._open: dict[ListenKey, tuple[Opened, ...]] = {}

    def prepare(
        self, keys: Iterable[ListenKey], written_at: WrittenAt | None = None
    ) -> dict[ListenKey, tuple[Opened, ...]]:
        """Open what is not open yet; raises ConfigurationError, and then nothing has changed.

        The error names the place of a listener that `written_at` knows.
        """
        opened: dict[ListenKey, tuple[Opened, ...]] = {}
        try:
            for key in keys:
                if key not in self._open and key not in opened:
                    with placed(key, written_at or {}):
                        opened[key] = self._opened(key)
        except Exception:
            self.abandon(opened)
            raise
        return opened

    def _opened(self, key: ListenKey) -> tuple[Opened, ...]:
        found: list[Opened] = []
        try:
            for address in sockets.addresses(key.host, key.port):
                found.append(self._open_one(address, has_datagrams=key.scheme == "dns"))
        except Exception:
            for each in found:
                each.close()
            raise
        return tuple(found)

    def _open_one(self, address: ListenAddress, *, has_datagrams: bool) -> Opened:
        # The stream socket is not shared: a second server on this port is noticed by it.
        stream = sockets.open_stream(address)
        same = address._replace(port=stream.getsockname()[1])
        datagrams: list[socket.socket] = []
        try:
            for _ in range(self._workers if has_datagrams else 0):
                datagrams.append(sockets.open_datagram(same, is_shared=True))
        except Exception:
            Opened(same, stream, tuple(datagrams)).close()
            raise
        return Opened(same, stream, tuple(datagrams))

    def abandon(self, opened: dict[ListenKey, tuple[Opened, ...]]) -> None:
        """Close what `prepare` opened."""
        for found in opened.values():
            for each in found:
                each.close()

    def commit(
        self, opened: dict[ListenKey, tuple[Opened, ...]], keys: Iterable[ListenKey]
    ) -> None:
        """Keep what was opened; close what is not among `keys`."""
        self._open.update(opened)
        wanted = set(keys)
        for key in [each for each in self._open if each not in wanted]:
            self.abandon({key: self._open.pop(key)})

    def close(self) -> None:
        """Close everything."""
        self.commit({}, ())

    def report(self, metrics: Metrics) -> None:
        """Say how large the receive buffers came out."""
        gauge = metrics.gauge(SOCKET_BUFFER)
        for found in self._open.values():
            for each in found:
                for sock in each.datagrams[:1]:
                    gauge[str(each.address),] = sockets.receive_buffer(sock)

    def of_worker(
        self, number: int, opened: dict[ListenKey, tuple[Opened, ...]] | None = None
    ) -> tuple[tuple[Place, ...], list[int]]:
        """Return the places of one worker and their descriptors in order, of `opened` or of all."""
        places, descriptors = [], []
        for key, found in (self._open if opened is None else opened).items():
            addresses = tuple(each.address for each in found)
            places.append(Place(*key, addresses, bool(found[0].datagrams)))
            for each in found:
                descriptors.append(each.stream.fileno())
                descriptors += [sock.fileno() for sock in each.datagrams[number : number + 1]]
        return tuple(places), descriptors


class Inherited:
    """In a worker: the sockets that came and that no listener took yet."""

    def __init__(self) -> None:
        self._places: dict[ListenKey, tuple[Place, list[int]]] = {}

    def take_in(self, places: Iterable[Place], descriptors: Iterator[int]) -> None:
        """Keep the sockets of some places."""
        for place in places:
            key = ListenKey(place.scheme, place.host, place.port)
            self._places[key] = (place, [next(descriptors) for _ in range(place.sockets)])

    def listener(self, key: ListenKey, reactor: Any) -> Listener:
        """Make the listener of a place that came."""
        place, descriptors = self._places.pop(key)
        return InheritedListener(key, reactor, place, descriptors)

    def close(self) -> None:
        """Close what was not taken."""
        for _place, descriptors in self._places.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._places.clear()


class InheritedListener(Listener):
    """A listener whose sockets were opened by the parent."""

    def __init__(self, key: ListenKey, reactor: Any, place: Place, descriptors: list[int]) -> None:
        super().__init__(key, reactor)
        self._place = place
        self._descriptors = descriptors

    def open(self, *, is_shared: bool = False) -> None:  # noqa: ARG002 - the parent's to decide
        """Make sockets of the descriptors."""
        left = iter(self._descriptors)
        for address in self._place.addresses:
            self._streams.append(socket.socket(fileno=next(left)))
            if self._place.has_datagrams:
                self._datagrams.append((socket.socket(fileno=next(left)), address))

    def share_port(self, *, is_shared: bool) -> None:
        """Leave it as it is: the parent opens the sockets of other places."""
