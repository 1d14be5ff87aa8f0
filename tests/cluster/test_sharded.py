"""`Sharded` is a dict, but for the order and for how it grows."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from k8sdns.cluster.sharded import PARTS, Sharded

keys = st.integers(0, 3 * PARTS) | st.text(max_size=2)


class Twins(RuleBasedStateMachine):
    """Whatever is done to a dict and to a `Sharded`, they stay equal."""

    def __init__(self):
        super().__init__()
        self.plain, self.sharded = {}, Sharded()
        self.values, self.keys = self.sharded.values(), self.sharded.keys()

    @rule(key=keys, value=st.integers())
    def put(self, key, value):
        self.plain[key] = self.sharded[key] = value

    @rule(key=keys)
    def take(self, key):
        assert self.sharded.pop(key, None) == self.plain.pop(key, None)

    @rule(key=keys)
    def look(self, key):
        assert self.sharded.get(key) == self.plain.get(key)
        assert (key in self.sharded) == (key in self.plain)

    @rule(key=keys)
    def delete(self, key):
        if key in self.plain:
            del self.plain[key], self.sharded[key]
            with pytest.raises(KeyError):
                del self.sharded[key]

    @invariant()
    def are_equal(self):
        assert dict(self.sharded) == self.plain
        assert len(self.sharded) == len(self.plain) == len(self.values) == len(self.keys)
        assert sorted(self.values) == sorted(self.plain.values())


TestTwins = Twins.TestCase


def test_no_part_holds_many_of_the_things():
    sharded = Sharded()
    for number in range(100 * PARTS):
        sharded["services", f"s{number}"] = number
    assert max(map(len, sharded.parts)) < 200
