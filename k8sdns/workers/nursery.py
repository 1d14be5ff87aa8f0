"""The nursery as the parent sees it: where new children come from.

Owns the one process that children are forked from (`k8sdns.workers.forking` is its own side). It
is there when it is first needed, and again when it is needed and gone.

While the reactor does not run yet, the nursery is a fork of the parent, with whom it and every
child then share the memory of what was imported. Later, where a parent has a reactor that runs and
threads, it is a Python of its own that imports everything once more; so it is where others than we
own the process and its log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

import k8sdns
from k8sdns import logs
from k8sdns.workers.control import Born, Channel, ChannelFactory, Fork, Report
from k8sdns.workers.forking import CONTROL, MODULE, become

log = Logger()

STOPS_WITHIN: Final = 3.0  # seconds


class Nursery:
    """Makes children: `fork(role, channel, born)`; `words` are those of what they will serve."""

    def __init__(self, reactor: Any, words: Iterable[str] = ()) -> None:
        self._reactor = reactor
        self._words = tuple(words)
        self._life: _Life | None = None

    def start(self) -> _Life:
        """Have the process; raises OSError where there can be none."""
        if self._life is None:
            is_early = logs.is_in_use() and not self._reactor.running
            made = _Forked if is_early else _Executed
            self._life = _Life(made(self._reactor, self._words), self._ended)
        return self._life

    def fork(self, role: str, channel: socket.socket, born: Callable[[int], None]) -> None:
        """Have a child of a role with this channel, which is closed here once it has it.

        ``born(pid)`` is called when it runs; if the nursery ends before, `channel` is closed.
        """
        self.start().fork(role, channel, born)

    def _ended(self) -> None:
        self._life = None

    def kill(self) -> None:
        """End the process, and with it every child: it does not do what it is for."""
        if self._life is not None:
            self._life.kill()

    def stop(self) -> Deferred[None]:
        """End the process, which has no children any more; fires when it is gone."""
        return succeed(None) if self._life is None else self._life.stop()


class _Process(Protocol):
    """How a nursery came to be, which is how its end is seen."""

    def begin(self, channel: Channel, ended: Callable[[], None]) -> None: ...
    def kill(self) -> None: ...
    def unreachable(self) -> None:
        """The channel is closed, by whomever."""


class _Life:
    """One life of the nursery: what it was told, and has not done yet."""

    def __init__(self, process: _Process, ended: Callable[[], None]) -> None:
        self._process = process
        self._ended = ended
        self._forked = 0
        self._unborn: dict[int, tuple[socket.socket, Callable[[int], None]]] = {}
        self._stopped: Deferred[None] | None = None
        self._channel = Channel(True, self._heard, process.unreachable)
        process.begin(self._channel, self._end)

    def fork(self, role: str, channel: socket.socket, born: Callable[[int], None]) -> None:
        self._forked += 1
        self._unborn[self._forked] = (channel, born)
        self._channel.say(Fork(self._forked, role), [channel.fileno()])

    def _heard(self, report: Report) -> None:
        if isinstance(report, Born):
            channel, born = self._unborn.pop(report.number)
            channel.close()
            born(report.pid)

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> Deferred[None]:
        self._stopped = Deferred()
        transport: Any = self._channel.transport
        transport.loseConnection()
        return self._stopped

    def _end(self) -> None:
        """The process is no more; children that run go with it, by the kernel."""
        self._ended()
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        log.error("the process that children are forked from ended")
        for channel, _born in self._unborn.values():
            channel.close()


class _Forked:
    """A fork of this process."""

    def __init__(self, reactor: Any, words: tuple[str, ...]) -> None:
        self._reactor = reactor
        self._words = words
        self._pid = 0
        self._ended: Callable[[], None] = lambda: None

    def begin(self, channel: Channel, ended: Callable[[], None]) -> None:
        self._ended = ended
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._pid = os.fork()
            if self._pid == 0:
                become(theirs, self._words)
            _adopt(self._reactor, ours, channel)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def unreachable(self) -> None:
        # It is ending by itself, or hangs: this does not wait for long.
        self.kill()
        os.waitpid(self._pid, 0)
        self._ended()


class _Executed(ProcessProtocol):
    """A Python of its own."""

    def __init__(self, reactor: Any, words: tuple[str, ...]) -> None:
        self._reactor = reactor
        self._words = words
        self._said = b""
        self._ended: Callable[[], None] = lambda: None
        self._process: Any = None
        self._late: Any = None

    def begin(self, channel: Channel, ended: Callable[[], None]) -> None:
        self._ended = ended
        ours, theirs = socket.socketpair()
        # Where our own lines do not go to standard output, nobody would see theirs there.
        outputs = {1: 1, 2: 2} if logs.is_in_use() else {1: "r", 2: "r"}
        with ours, theirs, open(os.devnull, "rb") as nothing:
            _adopt(self._reactor, ours, channel)
            self._process = self._reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-P", "-m", MODULE, *self._words],
                env=_environment(),
                childFDs={0: nothing.fileno(), **outputs, CONTROL: theirs.fileno()},
            )

    def kill(self) -> None:
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess(signal.SIGKILL)

    def unreachable(self) -> None:
        self._late = self._reactor.callLater(STOPS_WITHIN, self.kill)

    def childDataReceived(self, _descriptor: int, octets: bytes) -> None:
        """Log what children write, a line each."""
        *lines, rest = (self._said + octets).split(b"\n")
        self._said = rest[-logs.MAX_LINE_CHARACTERS :]
        for line in lines:
            log.info("{line}", line=line.decode("utf-8", "replace"), **{logs.BARE: True})

    def processEnded(self, _reason: Failure) -> None:
        """Called when the process is no more."""
        if self._late is not None and self._late.active():
            self._late.cancel()
        self._ended()


def _adopt(reactor: Any, ours: socket.socket, channel: Channel) -> None:
    ours.setblocking(False)
    reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, ChannelFactory(channel))


def _environment() -> dict[str, str]:
    """Let the child find this very package, however it was found here; not what lies around."""
    places = [str(Path(k8sdns.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
