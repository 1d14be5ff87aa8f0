"""How busy a process is, told by a clock and a scheduler of the imagination."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from k8sdns.metrics import EVENT_LOOP_GAP, SATURATION, Metrics
from k8sdns.server.load import Load, Needed, needed


class Thread:
    """What the scheduler says of a thread."""

    def __init__(self):
        self.ran = self.waited = 0.0

    def __call__(self):
        return Needed(self.ran, self.waited)


@pytest.fixture
def thread():
    return Thread()


def running(thread, quota=None):
    clock, metrics = Clock(), Metrics()
    load = Load(clock, metrics, needed=thread, quota=quota)
    load.startService()
    return clock, metrics, load


def live(clock, thread, seconds, ran, waited=0.0):
    """Let seconds pass, of each of which the thread runs and waits a share."""
    for _ in range(seconds * 10):
        thread.ran += ran / 10
        thread.waited += waited / 10
        clock.advance(0.1)


def ratio(metrics):
    return metrics.gauge(SATURATION)[()]


@pytest.mark.parametrize(
    "ran, waited, quota, shown",
    [
        (0.0, 0.0, None, 0.0),
        (0.25, 0.0, None, 0.25),
        (0.25, 0.25, None, 0.5),
        (0.5, 0.9, None, 1.0),
        (0.05, 0.0, 0.1, 0.5),
        (0.1, 0.0, 0.1, 1.0),
        (0.5, 0.0, 4.0, 0.5),
    ],
)
def test_saturation_is_what_the_loop_needed_of_what_it_may_have(thread, ran, waited, quota, shown):
    clock, metrics, _ = running(thread, quota)
    live(clock, thread, 12, ran, waited)
    assert ratio(metrics) == pytest.approx(shown, abs=0.03)


def test_saturation_forgets_what_is_longer_ago_than_its_window(thread):
    clock, metrics, _ = running(thread)
    live(clock, thread, 12, 1.0)
    assert ratio(metrics) == pytest.approx(1.0, abs=0.03)
    live(clock, thread, 12, 0.0)
    assert ratio(metrics) == 0.0


def test_a_timer_that_comes_late_is_a_gap(thread):
    clock, metrics, _ = running(thread)
    clock.advance(0.1)
    clock.advance(0.1 + 0.3)
    histogram = metrics.histogram(EVENT_LOOP_GAP)
    assert histogram.sums[()] == pytest.approx(0.3)
    late = dict(zip((*histogram.bounds, "more"), histogram.counts[()], strict=True))
    assert late[0.5] == 1
    assert sum(late.values()) == 2


def test_who_is_stopped_leaves_no_timer(thread):
    clock, _, load = running(thread)
    clock.advance(1)
    load.stopService()
    assert clock.getDelayedCalls() == []


def test_the_kernel_says_that_this_thread_runs():
    before = needed()
    # The scheduler does its accounts at its ticks, so how much running shows is not said.
    for _ in range(1000):
        sum(range(20_000))
        if needed().ran > before.ran:
            break
    assert needed().ran > before.ran
    assert needed().waited >= before.waited
