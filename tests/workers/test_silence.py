"""Who hangs, and who is only kept from its work."""

from __future__ import annotations

import os

import pytest

from k8sdns.workers.silence import (
    BUSY_SECONDS,
    HANGS_AFTER,
    LOOK_EVERY,
    STARTS_WITHIN,
    STARVES_UNTIL,
    Doing,
    Silence,
    doing,
)


def looks_until_given_up(states, *, has_spoken=True, most=1000):
    """Return how many looks a process gets that is found doing `states`, the last one for ever."""
    found = iter(states)
    last = [Doing("S", 0.0)]

    def look(_pid):
        last[0] = next(found, last[0])
        return last[0]

    silence = Silence(look)
    if has_spoken:
        silence.is_too_long(1)
        silence.broken()
    return next((n for n in range(1, most) if silence.is_too_long(1)), None)


@pytest.mark.parametrize("state", ["S", "T", "D", "X", "Z"])
def test_a_process_that_does_not_run_is_given_up_within_a_second(state):
    looks = looks_until_given_up([Doing(state, 5.0)])
    assert looks == HANGS_AFTER + 1
    assert looks * LOOK_EVERY <= 1.0


def test_one_that_runs_in_circles_too():
    busy = [Doing("R", 5.0), Doing("R", 5.0 + BUSY_SECONDS)]
    assert looks_until_given_up(busy) == HANGS_AFTER + 1


def test_one_that_is_not_let_run_is_waited_for_but_not_for_ever():
    assert looks_until_given_up([Doing("R", 5.0)]) == STARVES_UNTIL + 1


def test_one_that_starts_has_time_to():
    assert looks_until_given_up([Doing("R", 5.0)], has_spoken=False) == STARTS_WITHIN + 1


def test_a_word_begins_it_anew():
    silence = Silence(lambda _pid: Doing("S", 0.0))
    for _ in range(100):
        silence.broken()
        assert not any(silence.is_too_long(1) for _ in range(HANGS_AFTER))


def test_the_kernel_is_understood():
    state, cpu_seconds = doing(os.getpid())
    assert state == "R"
    assert 0 < cpu_seconds < 3600
    assert doing(2**30).state == "X"
