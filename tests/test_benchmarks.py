"""``make bench`` runs: every part, for a moment, on loopback. What it measures gates nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    if not FOLDER.exists():
        pytest.skip("benchmarks are not part of a source distribution")
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def module(name):
    return importlib.import_module(name)


def run(*arguments):
    command = [sys.executable, str(FOLDER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_quick_run_measures_every_server_that_it_is_told(tmp_path):
    missing = module("load").missing_tools()
    if missing:
        pytest.skip(f"needs {missing}")
    results = tmp_path / "results.json"
    ended = run("--quick", "mix,unique", "--only", "unbound,k8sdns", "--json", results,
                "--plots", tmp_path)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    measured = {
        (each["workload"], each["server"], each["with_changes"])
        for each in json.loads(results.read_text())["series"]
        if all(spent["queries"] and not spent["rcodes"].get("SERVFAIL") for spent in each["rounds"])
    }
    calm = {(w, s, False) for w in ("mix", "unique") for s in ("unbound", "k8sdns")}
    assert measured == calm | {("mix", "k8sdns", True), ("unique", "k8sdns", True)}
    assert "| mix | unbound |" in ended.stdout
    assert ET.parse(tmp_path / "flat-out.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nonsense"], "no workload is called 'nonsense'"),
        (["--server", "far=192.0.2.1:53,1"], "only servers on loopback are measured"),
        (["--server", "near"], "expected NAME=IP:PORT,PID"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments, said):
    if arguments[0] == "--server":
        with pytest.raises(SystemExit, match=said):
            module("servers").further(arguments[1])
    else:
        with pytest.raises(SystemExit, match=said):
            module("workloads").chosen(arguments)


def test_bars_are_as_long_as_their_values():
    drawn = ET.fromstring(module("plots").bars("t", "u", {"g": {"a": 10.0, "b": 5.0}}, ["a", "b"]))
    widths = [
        float(each.get("width"))
        for each in drawn.iter("{http://www.w3.org/2000/svg}rect")
        if each.get("x") == "240"
    ]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
