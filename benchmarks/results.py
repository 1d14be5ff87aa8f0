"""What was measured: rounds by series, as tables and as JSON.

    python benchmarks/results.py RESULTS.json…

prints the tables again; what several runs measured is taken from the last of them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from load import MAX_STEAL, Spent
from workloads import FAILURES

YARD = "unbound"


@dataclass
class Series:
    """The rounds of one workload against one server. `rate` None is flat out."""

    workload: str
    server: str
    rate: int | None = None
    with_changes: bool = False
    is_latency: bool = False
    rounds: list[Spent] = field(default_factory=list)

    @property
    def kept(self) -> list[Spent]:
        """The rounds in which the hypervisor left us the machine; all, if it never did."""
        return [each for each in self.rounds if each.steal <= MAX_STEAL] or self.rounds

    @property
    def per_cpu_second(self) -> float:
        """The median of queries a CPU-second."""
        return statistics.median(each.per_cpu_second for each in self.kept)

    @property
    def microseconds(self) -> float:
        """The median of CPU microseconds a query."""
        return statistics.median(each.microseconds for each in self.kept)

    @property
    def per_second(self) -> float:
        """The median of queries a second."""
        return statistics.median(each.per_second for each in self.kept)

    @property
    def spread(self) -> tuple[float, float]:
        """The worst and the best round, in queries a CPU-second."""
        speeds = [each.per_cpu_second for each in self.kept]
        return min(speeds), max(speeds)

    @property
    def lost(self) -> int:
        """Queries without a reply, all rounds."""
        return sum(each.lost for each in self.rounds)

    @property
    def failures(self) -> int:
        """Replies that were errors, all rounds."""
        return sum(each.rcodes.get(rcode, 0) for each in self.rounds for rcode in FAILURES)

    def latency(self, percentile: str) -> float:
        """The median over the rounds of one percentile, in microseconds."""
        return statistics.median(each.latencies[percentile] for each in self.kept)


class Results:
    """Every series, in the order in which they were measured."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self.notes: dict[str, float] = {}
        self.machine = machine()

    def find(self, **wanted: object) -> list[Series]:
        """Return the series whose attributes are these."""
        return [
            each
            for each in self.series
            if all(getattr(each, name) == value for name, value in wanted.items())
        ]

    def write(self, path: Path) -> None:
        """Write everything as JSON, every round of it."""
        rows = {
            "machine": self.machine,
            "notes": self.notes,
            "series": [asdict(each) for each in self.series],
        }
        path.write_text(json.dumps(rows, indent=1) + "\n")

    @classmethod
    def read(cls, *paths: Path) -> Results:
        """Read what `write` wrote; a workload that several runs measured is the last one's."""
        results = cls()
        found: dict[tuple[object, ...], list[Series]] = {}
        for path in paths:
            rows = json.loads(path.read_text())
            results.machine = rows["machine"]
            results.notes |= rows["notes"]
            run: dict[tuple[object, ...], list[Series]] = {}
            for row in rows["series"]:
                rounds = [Spent(**each) for each in row.pop("rounds")]
                series = Series(**row, rounds=rounds)
                # Servers are compared within one run only, so they come and go together.
                rate = series.rate if series.is_latency else series.rate is None
                key = (series.workload, rate, series.with_changes, series.is_latency)
                run.setdefault(key, []).append(series)
            found |= run
        results.series = [each for several in found.values() for each in several]
        return results


def machine() -> dict[str, str]:
    """Say where this was measured."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line for line in cpuinfo.splitlines() if line.startswith("model name")), "")
    return {
        "cpu": model.partition(":")[2].strip(),
        "cpus": str(len(os.sched_getaffinity(0))),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def tables(results: Results) -> Iterator[str]:
    """Yield the lines of every table, as Markdown."""
    yield " · ".join(f"{name} {value}" for name, value in results.machine.items())
    for title, with_changes in (("flat out", False), ("flat out, while endpoints change", True)):
        flat = results.find(rate=None, with_changes=with_changes, is_latency=False)
        if flat:
            yield from _flat(title, flat, results)
    if any(each.rate for each in results.series):
        yield from _rates(results)
    if results.find(is_latency=True):
        yield from _latencies(results)
    for name, value in results.notes.items():
        yield f"\n{name}: {value:,.1f}"


def _flat(title: str, flat: list[Series], results: Results) -> Iterator[str]:
    yield f"\n**{title}**\n"
    yield (
        "| workload | server | queries/CPU-s | rounds from-to | of unbound | us a query "
        "| queries/s | lost | failed | RSS MiB |"
    )
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for each in flat:
        yard = results.find(
            workload=each.workload, server=YARD, rate=None, with_changes=False, is_latency=False
        )
        ratio = f"{each.per_cpu_second / yard[0].per_cpu_second:.2f}" if yard else "-"
        low, high = each.spread
        yield (
            f"| {each.workload} | {each.server} | {each.per_cpu_second:,.0f} "
            f"| {low:,.0f}-{high:,.0f} | {ratio} | {each.microseconds:.1f} "
            f"| {each.per_second:,.0f} | {each.lost} | {each.failures} "
            f"| {each.rounds[-1].rss_mib:.0f} |"
        )


def _rates(results: Results) -> Iterator[str]:
    timed = [each for each in results.series if each.rate and not each.is_latency]
    rates = sorted({each.rate for each in timed if each.rate})
    if not rates:
        return
    yield "\n**CPU microseconds a query, by queries a second**\n"
    yield "| workload | server | " + " | ".join(f"{rate:,}" for rate in rates) + " | flat out |"
    yield "|---|---|" + "--:|" * (len(rates) + 1)
    for workload, server in dict.fromkeys((each.workload, each.server) for each in timed):
        cells = []
        for rate in [*rates, None]:
            found = results.find(
                workload=workload, server=server, rate=rate, with_changes=False, is_latency=False
            )
            cells.append(f"{found[0].microseconds:.1f}" if found else "-")
        yield f"| {workload} | {server} | " + " | ".join(cells) + " |"


def _latencies(results: Results) -> Iterator[str]:
    yield "\n**latency in microseconds**\n"
    yield "| workload | server | queries/s | p50 | p90 | p99 | p99.9 | p99 of rounds | lost |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for each in results.find(is_latency=True):
        found = [f"{each.latency(share):,.0f}" for share in ("p50", "p90", "p99", "p99.9")]
        p99 = [spent.latencies["p99"] for spent in each.kept]
        yield (
            f"| {each.workload} | {each.server} | {each.per_second:,.0f} | "
            + " | ".join(found)
            + f" | {min(p99):,.0f}-{max(p99):,.0f} | {each.lost} |"
        )


if __name__ == "__main__":
    print("\n".join(tables(Results.read(*map(Path, sys.argv[1:])))))
