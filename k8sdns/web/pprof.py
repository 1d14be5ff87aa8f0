"""``/debug/pprof/``: where the process spends its time and its memory, asked over HTTP.

Owns the recordings, one at a time, and their reports. Python's own profilers do the work:
cProfile, tracemalloc and the garbage collector's lists. Refuses to know what is recorded.
"""

from __future__ import annotations

import cProfile
import gc
import io
import marshal
import pstats
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from k8sdns.web.sites import text

ROOT: Final = b"/debug/pprof/"
DEFAULT_SECONDS: Final = 10
MAX_SECONDS: Final = 60
ROWS: Final = 60  # of a report
OBJECTS_A_STEP: Final = 5_000

INDEX: Final = f"""\
profile?seconds=N                 CPU time by function, as text
profile?seconds=N&format=pstats   the same for `python -m pstats`
allocations?seconds=N             memory taken in that time and still held, by line
objects                           living objects by type, the garbage collector's counts

N is 1 to {MAX_SECONDS}, {DEFAULT_SECONDS} without it.
A recording slows the server down; one runs at a time.
"""


class Recording(Protocol):
    """Something that is recorded for a while."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def report(self, request: Request) -> bytes: ...


class CPU:
    """Time by function, of everything that the reactor's thread does."""

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def start(self) -> None:
        """Begin."""
        self._profile.enable()

    def stop(self) -> None:
        """End."""
        self._profile.disable()

    def report(self, request: Request) -> bytes:
        """Return a table, or with ``format=pstats`` what `pstats` loads."""
        if request.args.get(b"format") == [b"pstats"]:
            self._profile.create_stats()
            request.setHeader(b"content-type", b"application/octet-stream")
            return marshal.dumps(self._profile.stats)
        table = io.StringIO()
        pstats.Stats(self._profile, stream=table).sort_stats("tottime").print_stats(ROWS)
        return text(request, table.getvalue())


class Allocations:
    """Memory by the line that took it."""

    def __init__(self) -> None:
        self._snapshot: tracemalloc.Snapshot | None = None

    def start(self) -> None:
        """Begin."""
        tracemalloc.start()

    def stop(self) -> None:
        """End, and keep what was seen."""
        self._snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()

    def report(self, request: Request) -> bytes:
        """Return the lines that hold most."""
        found = self._snapshot.statistics("lineno") if self._snapshot is not None else []
        total = sum(each.size for each in found)
        rows = [
            f"{each.size:>12} octets {each.count:>9} blocks  {each.traceback}" for each in found
        ]
        return text(request, "\n".join([f"{total:>12} octets in all", *rows[:ROWS], ""]))


class Recorder:
    """Sees to it that one recording runs at a time."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.is_busy = False


class RecordingPage(Resource):
    """Records for ``seconds`` and then reports."""

    isLeaf = True

    def __init__(self, recorder: Recorder, make: Callable[[], Recording]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder
        self._make = make

    def render_GET(self, request: Request) -> int | bytes:
        """Begin; the reply comes when the time is over."""
        seconds = _seconds(request)
        if seconds is None:
            request.setResponseCode(400)
            return text(request, f"seconds is a number from 1 to {MAX_SECONDS}\n")
        if self._recorder.is_busy:
            request.setResponseCode(503)
            return text(request, "another recording is under way\n")
        self._record(request, seconds)
        return NOT_DONE_YET

    def _record(self, request: Request, seconds: int) -> None:
        recorder = self._recorder
        recording = self._make()
        recording.start()
        recorder.is_busy = True

        def stop() -> None:
            recording.stop()
            recorder.is_busy = False

        def finish() -> None:
            stop()
            _send(request, recording.report(request))

        def abandon(_: Any) -> None:
            if due.active():
                due.cancel()
                stop()

        due = recorder.clock.callLater(seconds, finish)
        request.notifyFinish().addErrback(abandon)


def _seconds(request: Request) -> int | None:
    (word, *_others) = request.args.get(b"seconds") or [b"%d" % DEFAULT_SECONDS]
    if not word.isdigit() or len(word) > 3 or not 1 <= int(word) <= MAX_SECONDS:
        return None
    return int(word)


def _send(request: Request, report: bytes) -> None:
    request.setHeader(b"content-length", b"%d" % len(report))
    if request.method != b"HEAD":
        request.write(report)
    request.finish()


class ObjectsPage(Resource):
    """Counts living objects, a few thousand at a time between queries."""

    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cooperator = Cooperator(
            lambda: lambda: True,  # one step, then the reactor's turn
            partial(reactor.callLater, 0),
        )

    def render_GET(self, request: Request) -> int:
        """Begin to count."""
        found: Counter[str] = Counter()
        task = self._cooperator.cooperate(_count(found))
        is_gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _: is_gone.append(True))
        task.whenDone().addCallback(
            lambda _: None if is_gone else _send(request, text(request, _objects(found)))
        )
        return NOT_DONE_YET


def _count(found: Counter[str]) -> Iterator[None]:
    # Objects frozen after the start are not in the collector's lists: `gc.freeze` hid them.
    living = iter(gc.get_objects())
    while step := list(islice(living, OBJECTS_A_STEP)):
        for each in step:
            kind = type(each)
            found[f"{kind.__module__}.{kind.__qualname__}"] += 1
        yield


def _objects(found: Counter[str]) -> str:
    lines = [f"{found.total():>9} objects followed, {gc.get_freeze_count()} frozen"]
    lines += [
        f"generation {number}: {each['collections']} collections, {each['collected']} collected, "
        f"{each['uncollectable']} uncollectable"
        for number, each in enumerate(gc.get_stats())
    ]
    lines += [f"{count:>9} {kind}" for kind, count in found.most_common(ROWS)]
    return "\n".join([*lines, ""])


class IndexPage(Resource):
    """Says what there is."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Return the list."""
        return text(request, INDEX)


def pages(reactor: Any) -> dict[bytes, Resource]:
    """Return every page by its path."""
    recorder = Recorder(reactor)
    return {
        ROOT: IndexPage(),  # type: ignore[no-untyped-call]
        ROOT + b"profile": RecordingPage(recorder, CPU),
        ROOT + b"allocations": RecordingPage(recorder, Allocations),
        ROOT + b"objects": ObjectsPage(reactor),
    }
