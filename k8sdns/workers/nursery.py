"""The nursery as the parent sees it: where new children come from.

Owns the one process that is started rather than forked (`k8sdns.workers.forking` is its own side).
It is started when it is first needed, and again when it is needed and gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

import k8sdns
from k8sdns import logs
from k8sdns.workers.control import Born, Channel, ChannelFactory, Fork, Report

log = Logger()

CONTROL: Final = 3  # the descriptor of the nursery's end of its channel
MODULE: Final = "k8sdns.child"
STOPS_WITHIN: Final = 3.0  # seconds


class Nursery:
    """Makes children: `fork(role, channel, born)`; `words` are those of what they will serve."""

    def __init__(self, reactor: Any, words: Iterable[str] = ()) -> None:
        self._reactor = reactor
        self._words = tuple(words)
        self._process: _Process | None = None

    def start(self) -> _Process:
        """Have the process; raises OSError where the interpreter cannot be run."""
        if self._process is None:
            self._process = _Process(self._reactor, self._words, self._ended)
        return self._process

    def fork(self, role: str, channel: socket.socket, born: Callable[[int], None]) -> None:
        """Have a child of a role with this channel, which is closed here once it has it.

        ``born(pid)`` is called when it runs; if the nursery ends before, `channel` is closed.
        """
        self.start().fork(role, channel, born)

    def _ended(self) -> None:
        self._process = None

    def kill(self) -> None:
        """End the process, and with it every child: it does not do what it is for."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> Deferred[None]:
        """End the process, which has no children any more; fires when it is gone."""
        return succeed(None) if self._process is None else self._process.stop()


class _Process(ProcessProtocol):
    """One life of the nursery."""

    def __init__(self, reactor: Any, words: tuple[str, ...], ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._words = words
        self._ended = ended
        self._channel = Channel(True, self._heard, lambda: None)
        self._forked = 0
        self._unborn: dict[int, tuple[socket.socket, Callable[[int], None]]] = {}
        self._said = b""
        self._stopped: Deferred[None] | None = None
        self._process = self._spawned()

    def _spawned(self) -> Any:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # Where our own lines do not go to standard output, nobody would see theirs there.
        outputs = {1: 1, 2: 2} if logs.is_in_use() else {1: "r", 2: "r"}
        with ours, theirs, open(os.devnull, "rb") as nothing:
            factory = ChannelFactory(self._channel)
            self._reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
            return self._reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-P", "-m", MODULE, *self._words],
                env=_environment(),
                childFDs={0: nothing.fileno(), **outputs, CONTROL: theirs.fileno()},
            )

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
        self._process.signalProcess(signal.SIGKILL)

    def stop(self) -> Deferred[None]:
        self._stopped = Deferred()
        transport: Any = self._channel.transport
        transport.loseConnection()
        late = self._reactor.callLater(STOPS_WITHIN, self.kill)
        return self._stopped.addCallback(lambda _: late.active() and late.cancel())

    def childDataReceived(self, _descriptor: int, octets: bytes) -> None:
        """Log what children write, a line each."""
        *lines, rest = (self._said + octets).split(b"\n")
        self._said = rest[-logs.MAX_LINE_CHARACTERS :]
        for line in lines:
            log.info("{line}", line=line.decode("utf-8", "replace"), **{logs.BARE: True})

    def processEnded(self, _reason: Failure) -> None:
        """Called when the process is no more; children that run go with it, by the kernel."""
        self._ended()
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        log.error("the process that children are forked from ended")
        for channel, _born in self._unborn.values():
            channel.close()


def _environment() -> dict[str, str]:
    """Let the child find this very package, however it was found here; not what lies around."""
    places = [str(Path(k8sdns.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
