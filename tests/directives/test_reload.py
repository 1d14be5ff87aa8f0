"""``reload``: when it looks, and which durations it takes."""

from __future__ import annotations

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from k8sdns.directives.reload import Looks, Settings
from k8sdns.errors import CorefileError


class FakeReloads:
    """Counts how often it was asked to look; may end the one who asks, as a reload does."""

    def __init__(self):
        self.looked = 0
        self.said = 0
        self.ends = None

    def say_hash(self):
        self.said += 1

    def reload_if_changed(self):
        self.looked += 1
        if self.ends is not None:
            self.ends.stopService()
        return succeed(None)


def looks(draw=0.5, **settings):
    clock, reloads = Clock(), FakeReloads()
    return clock, reloads, Looks(clock, reloads, Settings(**settings), lambda: draw)


def test_it_says_what_runs_and_looks_again_and_again():
    clock, reloads, service = looks()
    service.startService()
    assert (reloads.said, reloads.looked) == (1, 0)
    clock.pump([10.0] * 9)
    assert reloads.looked == 3
    service.stopService()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("settings", "draw", "first"),
    [
        ({"interval": 30.0, "jitter": 15.0}, 0.0, 22.5),
        ({"interval": 30.0, "jitter": 15.0}, 0.999999, 37.5),
        ({"interval": 10.0, "jitter": 60.0}, 0.0, 7.5),
        ({"interval": 2.0, "jitter": 0.0}, 0.9, 2.0),
    ],
)
def test_jitter_spreads_the_interval_at_most_by_half(settings, draw, first):
    clock, reloads, service = looks(draw, **settings)
    service.startService()
    clock.advance(first - 0.01)
    assert reloads.looked == 0
    clock.advance(0.02)
    assert reloads.looked == 1
    service.stopService()


def test_a_reload_that_retired_it_is_its_last():
    clock, reloads, service = looks()
    reloads.ends = service
    service.startService()
    clock.pump([30.0] * 3)
    assert reloads.looked == 1
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("1s", "interval value must be greater or equal to 2s"),
        ("10s 500ms", "jitter value must be 0 or greater or equal to 1s"),
        ("soon", "is not a duration"),
        ("10s 1s 1s", "Wrong argument count"),
    ],
)
def test_mistakes_are_refused(checked, words, complaint):
    with pytest.raises(CorefileError, match=complaint):
        checked(f". {{\n    reload {words}\n    whoami\n}}")


@pytest.mark.parametrize("words", ["", "2s", "10s 1s", "30s 0s"])
def test_good_durations_are_taken(checked, words):
    checked(f". {{\n    reload {words}\n    whoami\n}}")
