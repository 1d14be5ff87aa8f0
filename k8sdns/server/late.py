"""Queries that wait until a socket was read: whatever costs more than those behind them.

Owns the order in which queries are answered when more come than can be: names of the cluster
first, outside names, which take ten times as long, behind them. Refuses to know sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from k8sdns.server.repeats import Repeater

MAX_LATE: Final = 8192  # of a socket: what is answered in half a second
SHARE: Final = 0.003  # seconds a turn of the reactor


class Late:
    """A query as it came; `control` is what a port needs to answer from where it was asked."""

    __slots__ = ("address", "control", "local_address", "message", "repeater")

    def __init__(
        self,
        repeater: Repeater,
        message: bytes,
        address: tuple[Any, ...],
        local_address: tuple[Any, ...],
    ) -> None:
        self.repeater = repeater
        self.message = message
        self.address = address
        self.local_address = local_address
        self.control: Any = None

    def begin(self) -> Any:
        """Return the reply, None for silence, or what is to be waited for."""
        return self.repeater.ask(self.message, self.address, self.local_address)

    def shed(self) -> bytes | None:
        """Return the reply to a query for which there is no room: SERVFAIL."""
        return self.repeater.shed(self.message, self.address, self.local_address)


class Latecomers:
    """The late queries of one socket; `begin` answers one, `reactor` gives further turns."""

    def __init__(self, begin: Callable[[Late], None], reactor: Any) -> None:
        self._begin = begin
        self._reactor = reactor
        self._waiting: deque[Late] = deque()
        self._call: IDelayedCall | None = None

    def has_room(self) -> bool:
        """Tell whether one more may wait."""
        return len(self._waiting) < MAX_LATE

    def add(self, late: Late) -> None:
        """Have a query wait."""
        self._waiting.append(late)

    def answer(self) -> None:
        """Answer those that wait, as many as fit into a share, the rest in the next turns."""
        if self._waiting and self._call is None:
            self._go_on()

    def _go_on(self) -> None:
        self._call = None
        waiting = self._waiting
        end = monotonic() + SHARE
        while waiting:
            self._begin(waiting.popleft())
            if monotonic() >= end:
                break
        if waiting:
            self._call = self._reactor.callLater(0, self._go_on)

    def clear(self) -> None:
        """Answer nobody any more: the socket is closed."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
