"""Work in slices leaves room for queries; polls end."""

from __future__ import annotations

import os

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from k8sdns.authorities.polling import SLICE, Poll, in_slices, signature


def steps(count, seen, then="end"):
    for n in range(count):
        seen.append(n)
        yield
    if isinstance(then, Exception):
        raise then
    return then


class Turns:
    """A reactor's time whose turns are counted; Clock takes all calls of one moment at once."""

    def __init__(self):
        self.waiting = []

    def callLater(self, delay, call):
        self.waiting.append(call)


def test_work_is_done_a_slice_a_turn():
    turns, seen, results = Turns(), [], []
    in_slices(turns, steps(SLICE * 2 + 1, seen)).addCallback(results.append)
    assert (len(seen), results) == (SLICE, [])
    turns.waiting.pop()()
    assert (len(seen), results) == (SLICE * 2, [])
    turns.waiting.pop()()
    assert (len(seen), results) == (SLICE * 2 + 1, ["end"])
    assert turns.waiting == []


def test_failures_and_cancelling_end_the_work():
    clock, failures = Clock(), []
    in_slices(clock, steps(1, [], ValueError("x"))).addErrback(failures.append)
    seen = []
    work = in_slices(clock, steps(SLICE * 5, seen))
    work.addErrback(failures.append)
    work.cancel()
    clock.advance(0)
    assert [f.type for f in failures] == [ValueError, CancelledError]
    assert len(seen) == SLICE
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(("period", "calls"), [(5, 3), (0, 0)])
def test_a_poll_looks_once_a_period_until_it_is_stopped(period, calls):
    clock, looked = Clock(), []
    poll = Poll(clock, period, lambda: looked.append(clock.seconds()))
    poll.start()
    clock.pump([5, 5, 5])
    poll.stop()
    clock.pump([5, 5])
    assert len(looked) == calls
    assert clock.getDelayedCalls() == []


def test_a_signature_changes_with_content_with_a_swapped_link_and_with_absence(tmp_path):
    paths = [str(tmp_path / "link")]
    assert signature(paths) == (None,)
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
        os.utime(tmp_path / name, ns=(1, 1))
    os.symlink("one", paths[0])
    first = signature(paths)
    os.remove(paths[0])
    os.symlink("two", paths[0])
    second = signature(paths)
    (tmp_path / "two").write_text("longer")
    assert len({first, second, signature(paths), (None,)}) == 4
