"""`benchmarks/churn.py` in small: changes and faults that pass soon, and answers that stay true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHURN = Path(__file__).parents[1] / "benchmarks" / "churn.py"


def test_answers_are_true_after_changes_and_faults(tmp_path):
    if not CHURN.exists():
        pytest.skip("benchmarks are not part of a source distribution")
    results = tmp_path / "results.json"
    command = [sys.executable, CHURN, "--minutes", "0.05", "--every", "4", "--services", "40",
               "--fault-every", "0.7", "--faults", "cut_watches,gone,end_watches,broken_object",
               "--rate", "30", "--no-heal", "--fill", "100", "--json", results]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(results.read_text())
    assert result["differences"] == 0
    assert result["restarts"] == 0
    assert result["errors_logged"] == 0
    assert sum(result["changes"].values()) > 50
    assert result["faults"]["cut_watches"] >= 1
    # Events that are kept from the server have to show, or nothing was looked at.
    assert result["control"]["differences"] > 0
