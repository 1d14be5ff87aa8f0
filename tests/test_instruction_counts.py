"""The hot functions execute no more bytecode than they did: a gate that no noise opens or shuts.

Whoever makes one dearer on purpose, or cheaper, writes a new baseline and says why:
``python benchmarks/instructions.py --write``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
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


def fresh_counts():
    """Count in a process of its own: what other tests left in this one changes a few."""
    program = "import instructions, json; print(json.dumps(instructions.counts()))"
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=FILE.parent, env=environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def counts(instructions):
    return fresh_counts()


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


def test_the_count_is_the_same_every_time(counts):
    assert fresh_counts() == counts


def test_one_more_loop_would_show(instructions):
    from k8sdns import names

    short, long = names.from_text("a.example"), names.from_text("a.b.c.d.e.example")
    assert instructions.counted(lambda: names.labels_of(short)) < instructions.counted(
        lambda: names.labels_of(long)
    )
