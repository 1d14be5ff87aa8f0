"""A draining server goes on while it is asked, and never longer than its grace."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from k8sdns.drain import Drain

times = st.floats(min_value=0, max_value=1000)


@pytest.mark.parametrize(
    ("began", "last", "now", "remaining"),
    [
        (100.0, None, 100.0, 0.0),  # never asked: nobody to wait for
        (100.0, 10.0, 100.0, 3.0),  # asked long ago: somebody may ask again
        (100.0, 99.0, 103.0, 0.0),  # silent since the signal
        (100.0, 101.0, 102.0, 2.0),  # asked since: three seconds from then
        (100.0, 104.0, 104.5, 0.5),  # still asked: the grace ends it
        (100.0, 200.0, 105.0, 0.0),
    ],
)
def test_remaining(began, last, now, remaining):
    assert Drain(began, lambda: last).remaining(now) == pytest.approx(remaining)


@given(began=times, last=times, waits=st.lists(times), grace=times, quiet=times)
def test_it_ends_within_its_grace_whatever_is_asked(began, last, waits, grace, quiet):
    drain = Drain(began, lambda: last, quiet_after=quiet, grace=grace)
    assert drain.remaining(began + grace + 0.001) == 0.0
    for wait in waits:
        assert 0.0 <= drain.remaining(began + wait) <= grace + 1e-9
