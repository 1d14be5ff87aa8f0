"""Files that change: when to look at them again, and how to read them without holding up queries.

Owns: the stat signature of files, the poll, and work in slices. Refuses to know what files hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

SLICE: Final = 32  # steps a turn of the reactor; an entry of a zone file takes some 40 µs

Signature = tuple[tuple[int, int, int] | None, ...]
T = TypeVar("T")


def signature(paths: Iterable[str]) -> Signature:
    """Return what changes when a file changes: time in ns, size and inode; None if it is absent.

    The inode shows the symbolic links of a ConfigMap being swapped.
    """
    return tuple(_file_signature(path) for path in paths)


def _file_signature(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def in_slices(clock: IReactorTime, steps: Generator[None, None, T]) -> Deferred[T]:
    """Run a generator a few steps a turn of the reactor; fires with what it returns.

    Cancelling the Deferred closes the generator.
    """
    done: Deferred[T] = Deferred(lambda _: steps.close())

    def turn() -> None:
        if done.called:
            return
        try:
            for _ in range(SLICE):
                next(steps)
        except StopIteration as end:
            done.callback(end.value)
        except Exception:  # noqa: BLE001 - whatever the generator raised is the caller's
            done.errback()
        else:
            clock.callLater(0, turn)

    turn()
    return done


class Poll:
    """Calls `look` every `period` seconds, from one period after `start` until `stop`; 0: never."""

    def __init__(self, clock: IReactorTime, period: float, look: Callable[[], Any]) -> None:
        self._period = period
        self._call = LoopingCall(look)
        self._call.clock = clock

    def start(self) -> None:
        """Begin to poll."""
        if self._period > 0 and not self._call.running:
            self._call.start(self._period, now=False)

    def stop(self) -> None:
        """Never call `look` again."""
        if self._call.running:
            self._call.stop()
