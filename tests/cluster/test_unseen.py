"""`Unseen` is the set of a table's keys when a listing began, less what was named since."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, strategies as st

from k8sdns.cluster.model import Namespace
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.sharded import PARTS, Sharded
from k8sdns.cluster.unseen import Unseen

keys = st.tuples(st.just(""), st.integers(0, 2 * PARTS).map(str))
steps = st.lists(st.tuples(st.sampled_from(["put", "drop", "name", "recall"]), keys), max_size=40)


@pytest.mark.parametrize("kind_of_table", [Sharded, partial(Packed, Namespace)])
@given(before=st.sets(keys, max_size=40), steps=steps)
def test_it_equals_a_copy_of_all_keys(kind_of_table, before, steps):
    table = kind_of_table()
    for key in before:
        table[key] = Namespace(key[1], "1")
    unseen, expected = Unseen(table), set(before)
    for what, key in steps:
        if what == "recall":
            unseen.add(key)
            expected.add(key)
        else:
            unseen.discard(key)
            expected.discard(key)
        if what == "drop":
            table.pop(key, None)
        elif what != "name":
            table[key] = Namespace(key[1], "2")
    assert set(unseen) == expected


def test_the_table_may_lose_what_is_left():
    table: Sharded = Sharded()
    for number in range(1000):
        table["", str(number)] = number
    unseen = Unseen(table)
    unseen.discard(("", "7"))
    for key in unseen:
        del table[key]
    assert list(table) == [("", "7")]


def test_a_beginning_copies_nothing():
    table: Sharded = Sharded()
    table["", "a"] = 1
    unseen = Unseen(table)
    del table["", "a"]
    assert list(unseen) == []
