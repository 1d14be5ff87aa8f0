"""Datagrams that the kernel dropped, because a socket's buffer was full when they came.

Owns the counting; the kernel's number is 32 bits long, and goes with its socket. Refuses to know
who reads the socket.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakKeyDictionary

from k8sdns.metrics import UDP_SOCKET_DROPS, Metrics
from k8sdns.server.sockets import ListenAddress

_SO_MEMINFO: Final = 55  # asm-generic/socket.h, since Linux 4.12
_MEMINFO: Final = struct.Struct("=9I")
_DROPS: Final = 8  # sock_diag.h: SK_MEMINFO_DROPS; the last column of /proc/net/udp
_MASK: Final = 0xFFFFFFFF

Open = Callable[[], Iterable[tuple[socket.socket, ListenAddress]]]


def dropped(sock: socket.socket) -> int:
    """Return how many datagrams the kernel dropped at a socket; 0 where it does not say."""
    try:
        octets = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        numbers: tuple[int, ...] = _MEMINFO.unpack(octets)
    except (OSError, struct.error):
        return 0
    return numbers[_DROPS]


class Drops:
    """Counts what was dropped at the sockets that `open_sockets` returns; `count` brings it up."""

    def __init__(self, metrics: Metrics, open_sockets: Open) -> None:
        self._counter = metrics.counter(UDP_SOCKET_DROPS)
        self._open = open_sockets
        self._seen: WeakKeyDictionary[socket.socket, int] = WeakKeyDictionary()
        metrics.before_scrape(self.count)

    def count(self) -> None:
        """Add what is new; what a socket had dropped before it was ours counts for others."""
        for sock, address in self._open():
            now = dropped(sock)
            new = (now - self._seen.get(sock, now)) & _MASK
            self._seen[sock] = now
            self._counter.add(str(address), by=new)
