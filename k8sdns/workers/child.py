"""A child process as its parent sees it, and the one who sees to it that it is there.

Owns starting, watching, replacing and ending. Refuses to know what children do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from k8sdns.errors import ConfigurationError
from k8sdns.metrics import WORKER_RESTARTS, Metrics
from k8sdns.workers.control import (
    Channel,
    ChannelFactory,
    Joined,
    Order,
    Prepare,
    Prepared,
    Refused,
    Report,
    Stop,
)
from k8sdns.workers.nursery import Nursery
from k8sdns.workers.silence import Silence

log = Logger()

FIRST_PAUSE: Final = 0.1  # seconds before a child that died young is replaced; doubles
LONGEST_PAUSE: Final = 1.0  # after one that served: its clients wait
LONGEST_PAUSE_UNSERVED: Final = 10.0  # after one that did not even come to serve
YOUNG: Final = 5.0  # seconds
STOPS_WITHIN: Final = 3.0  # seconds


class Child:
    """One process, from its start to its end, which is that of its channel."""

    def __init__(
        self, heard: Callable[[Report], None], ended: Callable[[Child, str], None]
    ) -> None:
        self.channel = Channel(True, self._hear, self._end)
        self.silence = Silence()
        self.is_serving = False
        self.pid = 0
        self._heard = heard
        self._ended = ended
        self._reason = "died"
        self._joining: deque[socket.socket] = deque()
        self._agreements: dict[int, Deferred[None]] = {}

    def begin(self, reactor: Any, nursery: Nursery, role: str) -> None:
        """Have the process made; it can be spoken to at once."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            factory = ChannelFactory(self.channel)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
        nursery.fork(role, theirs, self._born)

    def _born(self, pid: int) -> None:
        self.pid = pid

    def join(self, end: socket.socket, order: Order) -> None:
        """Give the process an end of a connection; ours is closed once it has it."""
        self._joining.append(end)
        self.channel.say(order, [end.fileno()])

    def agree(self, order: Prepare, descriptors: Sequence[int]) -> Deferred[None]:
        """Have the process prepare; fails with ConfigurationError where it cannot."""
        agreement = self._agreements[order.number] = Deferred()
        self.channel.say(order, descriptors)
        return agreement

    def _hear(self, report: Report) -> None:
        self.silence.broken()
        if isinstance(report, Joined):
            self._joining.popleft().close()
        elif isinstance(report, Prepared):
            self._agreements.pop(report.number).callback(None)
        elif isinstance(report, Refused):
            self._agreements.pop(report.number).errback(ConfigurationError(report.message))
        else:
            self._heard(report)

    def kill(self, reason: str) -> bool:
        """End the process whatever it does; tell whether there is one yet."""
        self._reason = reason
        if not self.pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return True

    def _end(self) -> None:
        for end in self._joining:
            end.close()
        agreements, self._agreements = self._agreements, {}
        for agreement in agreements.values():
            agreement.errback(ConfigurationError("a worker ended while it prepared"))
        self._ended(self, self._reason)


class Keeper:
    """Keeps one child of a role; tells `born(keeper)`, `heard(keeper, report)`, `gone(keeper)`."""

    def __init__(
        self,
        role: str,
        number: int,
        reactor: Any,
        nursery: Nursery,
        metrics: Metrics,
        born: Callable[[Keeper], None],
        heard: Callable[[Keeper, Report], None],
        gone: Callable[[Keeper], None],
    ) -> None:
        self.role = role
        self.number = number
        self.child: Child | None = None
        self._reactor = reactor
        self._nursery = nursery
        self._restarts = metrics.counter(WORKER_RESTARTS)
        self._born, self._heard, self._gone = born, heard, gone
        self._pause = 0.0
        self._began = 0.0
        self._again: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    def __str__(self) -> str:
        return self.role if self.role != "worker" else f"worker {self.number + 1}"

    def start(self) -> None:
        """Have a child."""
        self._again = None
        self._began = self._reactor.seconds()
        child = Child(lambda report: self._heard(self, report), self._ended)
        child.begin(self._reactor, self._nursery, self.role)
        self.child = child
        self._born(self)

    def say(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        """Tell the child, if there is one."""
        if self.child is not None:
            self.child.channel.say(order, descriptors)

    def look(self) -> None:
        """Give the child up if it has been silent for too long."""
        child = self.child
        if child is not None and child.silence.is_too_long(child.pid):
            log.error("{who} (pid {pid}) hangs: it is replaced", who=str(self), pid=child.pid)
            self._give_up(child, "hung")

    def _give_up(self, child: Child, reason: str) -> None:
        if not child.kill(reason):
            self._nursery.kill()

    def _ended(self, child: Child, reason: str) -> None:
        self.child = None
        self._gone(self)
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        self._restarts.add(self.role, reason)
        lived = self._reactor.seconds() - self._began
        longest = LONGEST_PAUSE if child.is_serving else LONGEST_PAUSE_UNSERVED
        pause = min(max(FIRST_PAUSE, self._pause * 2), longest) if lived < YOUNG else 0.0
        self._pause = pause
        log.error(
            "{who} (pid {pid}) {reason} after {lived:.1f} s; the next one comes in {pause:.1f} s",
            who=str(self), pid=child.pid, reason=reason, lived=lived, pause=pause,
        )  # fmt: skip
        self._again = self._reactor.callLater(pause, self.start)

    def stop(self) -> Deferred[None]:
        """Have no child any more; fires when it is gone."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        child = self.child
        if child is None:
            return succeed(None)
        self._stopped = Deferred()
        child.channel.say(Stop())
        late = self._reactor.callLater(STOPS_WITHIN, self._give_up, child, "stopped")
        return self._stopped.addCallback(lambda _: late.active() and late.cancel())
