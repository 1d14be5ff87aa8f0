"""Many sockets that the reactor sees as one.

Owns a poll object of its own, which is readable itself while one of its sockets is. A busy upstream
is asked from hundreds of sockets, a reply or two arrives on each, and the reactor's way to a
descriptor costs more than reading it.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

log = Logger(namespace="k8sdns.authorities.upstream")

BATCH = 128  # sockets a wake-up; bounds how long other descriptors wait
HAS_EPOLL = hasattr(select, "epoll")


class Readers(Protocol):
    """The part of a reactor that sockets need."""

    def addReader(self, reader: Any, /) -> None:
        """Have `reader.doRead` called when there is something to read."""

    def removeReader(self, reader: Any, /) -> None:
        """Call it no more; before `reader` is closed."""


class Gathered:
    """Readers that share one place in a reactor, which they have while there are any."""

    def __init__(self, reactor: Readers, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._readers: dict[int, Any] = {}
        self._epoll: Any = None

    def addReader(self, reader: Any) -> None:
        """Read it too."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        descriptor = reader.fileno()
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readers[descriptor] = reader

    def removeReader(self, reader: Any) -> None:
        """Read it no more."""
        descriptor = reader.fileno()
        if self._readers.pop(descriptor, None) is None:
            return
        self._epoll.unregister(descriptor)
        if not self._readers:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    def doRead(self) -> None:
        """Have those read that have something, an error included."""
        readers = self._readers
        for descriptor, _event in self._epoll.poll(0, BATCH):
            # An earlier one may have closed this one; a new socket on its number has nothing yet.
            reader = readers.get(descriptor)
            if reader is None:
                continue
            try:
                reader.doRead()
            except Exception:  # noqa: BLE001 - a bug costs one socket, as with any reactor
                log.failure("A bug kept {name} from being read", name=self._name)
                reader.connectionLost(Failure())

    def fileno(self) -> int:
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        return self._name

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is stopping."""
        for reader in list(self._readers.values()):
            reader.connectionLost(reason)


# Not by a decorator: mypyc would not make it a native class.
classImplements(Gathered, IReadDescriptor)
