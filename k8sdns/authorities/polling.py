"""Files that change: when to look at them again, and how to read them without holding up queries.

Owns: the stat signature of files, the poll, and work in slices. Refuses to know what files hold.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

LARGE: Final = 128 * 1024  # octets; a larger file is read in slices even at first
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


def finished(steps: Generator[None, None, T]) -> T:
    """Run a generator to its end at once and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


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


class Rereading(Generic[T]):
    """Reads files in slices, one reading at a time, again whenever one of them changed.

    `take` gets what a reading returned, `keep` the failure of one; after a failure every look
    reads again. `take` may set `files` and `seen` if it learns of more files.
    """

    def __init__(
        self,
        clock: IReactorTime,
        period: float,
        path: str,
        reading: Callable[[], Generator[None, None, T]],
        *,
        take: Callable[[T], None],
        keep: Callable[[Failure], None],
    ) -> None:
        self.files: tuple[str, ...] = (path,)
        self.seen: Signature | None = None
        self.is_first = True
        self._clock = clock
        self._reading = reading
        self._take = take
        self._keep = keep
        self._underway: Deferred[Any] | None = None
        self._waiting: Deferred[None] | None = None
        self._poll = Poll(clock, period, self.look)

    def read_if_small(self) -> None:
        """Read now what takes no time worth mentioning, and leave the rest to `start`.

        Raises what the reading raises, OSError if the file cannot be read.
        """
        if os.stat(self.files[0]).st_size <= LARGE:
            self.seen = signature(self.files)
            self._took(finished(self._reading()))

    def start(self) -> Deferred[None]:
        """Read what is not read yet, and poll from now on; fires when the first reading ended."""
        begun: Deferred[None] = Deferred()
        if self.is_first:
            self.look()
        self._poll.start()
        if self._underway is None:
            begun.callback(None)
        else:
            self._waiting = begun
        return begun

    def stop(self) -> None:
        """Stop polling and reading."""
        self._poll.stop()
        if self._underway is not None:
            self._underway.cancel()

    def look(self) -> None:
        """Read again if something changed since the last look, or if that failed."""
        now = signature(self.files)
        if now == self.seen or self._underway is not None:
            return
        self.seen = now
        underway = in_slices(self._clock, self._reading())
        if not underway.called:
            self._underway = underway
        underway.addCallbacks(self._took, self._failed)
        underway.addBoth(self._ended)

    def _took(self, result: T) -> None:
        self.is_first = False
        self._take(result)

    def _failed(self, failure: Failure) -> None:
        self.seen = None
        if not failure.check(CancelledError):
            self._keep(failure)

    def _ended(self, _result: Any) -> None:
        self._underway = None
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)
