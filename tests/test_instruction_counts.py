"""The hot functions execute no more bytecode than they did: a gate that no noise opens or shuts.

Whoever makes one dearer on purpose, or cheaper, writes a new baseline and says why:
``python benchmarks/instructions.py --write``.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "instructions.py"


@pytest.fixture(scope="module")
def instructions():
    if not FILE.exists():
        pytest.skip("benchmarks are not part of a source distribution")
    spec = importlib.util.spec_from_file_location("instructions", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def counts(instructions):
    if sys.gettrace() is not None:
        pytest.skip("somebody else traces this run")
    return instructions.counts()


def test_no_hot_function_grew(instructions, counts):
    baseline = instructions.baselines().get(instructions.PYTHON)
    if baseline is None:
        pytest.skip(f"no baseline for Python {instructions.PYTHON}")
    assert counts.keys() == baseline.keys()
    grown = {
        name: f"{count} instructions, {baseline[name]} before"
        for name, count in counts.items()
        if count > baseline[name] * instructions.ALLOWED
    }
    assert not grown


def test_the_count_is_the_same_every_time(instructions, counts):
    assert instructions.counts() == counts


def test_one_more_loop_would_show(instructions):
    from k8sdns import names

    short, long = names.from_text("a.example"), names.from_text("a.b.c.d.e.example")
    assert instructions.counted(lambda: names.labels_of(short)) < instructions.counted(
        lambda: names.labels_of(long)
    )
