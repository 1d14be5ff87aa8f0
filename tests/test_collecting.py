"""The collector leaves alone what lives as long as the process, and frees what came later."""

from __future__ import annotations

import gc

import pytest

from k8sdns import collecting


@pytest.fixture(autouse=True)
def as_before():
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Node:
    """Something in a cycle."""

    def __init__(self):
        self.itself = self


def alive():
    return sum(isinstance(each, Node) for each in gc.get_objects())


def test_what_lives_is_not_looked_at_again():
    kept = Node()
    collecting.Collector().settle()
    assert gc.get_freeze_count() > 1000
    assert alive() == 0
    assert kept.itself is kept
    assert gc.get_threshold() == collecting.THRESHOLDS


def test_what_reloads_left_is_freed_after_some_of_them():
    collector = collecting.Collector()
    collector.settle()
    Node()
    assert alive() == 1
    for _ in range(collecting.SWEPT_EVERY):
        collector.reloaded()
    assert alive() == 0


def test_what_is_read_has_the_young_collected_now_and_then():
    gc.set_threshold(0)
    gatherings = collecting.Gatherings()
    Node()
    for _ in range(3):
        gatherings.read(collecting.READ_BETWEEN // 4)
    assert alive() == 1
    gatherings.read(collecting.READ_BETWEEN // 4)
    assert alive() == 0


def test_what_survived_that_once_is_collected_the_next_time():
    gc.set_threshold(0)
    gatherings = collecting.Gatherings()
    node = Node()
    gatherings.read(collecting.READ_BETWEEN)
    del node
    gc.collect(0)
    assert alive() == 1
    gatherings.read(collecting.READ_BETWEEN)
    assert alive() == 0
