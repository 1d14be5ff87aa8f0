"""docs/metrics.md lists the one table of metrics."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from k8sdns.metrics import Metrics, table

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(generate):
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert page == generate.metrics(table()), "run python docs/generate.py"


def test_the_page_tells_type_labels_and_meaning(generate):
    page = generate.metrics(table())
    for metric in table():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{metric.name}` |")]
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert cells[1] == metric.kind
        assert cells[2] == ", ".join(f"`{label}`" for label in metric.labels)
        assert cells[3].rstrip("| ").endswith(".")


def test_no_metric_has_two_meanings():
    names = [metric.name for metric in table()]
    assert len(names) == len(set(names))


def test_counters_and_only_counters_are_totals():
    """Otherwise OpenMetrics would show them under another name."""
    for metric in table():
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name


def test_what_has_no_labels_begins_at_zero():
    metrics = Metrics()
    metrics.begin()
    for metric in table():
        if metric.labels or metric.kind == "gauge":
            assert metric not in metrics.counts
        elif metric.kind == "counter":
            assert metrics.counts[metric] == {(): 0}
        else:
            assert sum(metrics.histograms[metric].counts[()]) == 0
