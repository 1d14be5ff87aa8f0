"""Bar charts as SVG, drawn by hand: results become pictures without a library.

python benchmarks/plots.py RESULTS.json… FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from results import Results

COLOURS = (
    "#9a9a9a", "#e0813a", "#5a9e5a", "#3b6ea5", "#8fb3d9", "#c9b03f", "#c8c8c8", "#f0b98d",
)  # fmt: skip
WIDTH, LEFT, BAR, GAP, TOP = 900, 240, 13, 10, 58
Groups = Mapping[str, Mapping[str, float]]


def bars(title: str, unit: str, groups: Groups, names: Iterable[str]) -> str:
    """Return an SVG with one bar a name in every group; a name always has the same colour."""
    colours = dict(zip(names, COLOURS * 2, strict=False))
    largest = max((value for values in groups.values() for value in values.values()), default=1)
    scale = (WIDTH - LEFT - 90) / largest
    parts: list[str] = []
    at = TOP
    for group, values in groups.items():
        middle = at + len(values) * BAR / 2 + 4
        parts.append(_text(LEFT - 8, middle, group, anchor="end"))
        for name, value in values.items():
            parts.append(
                f'<rect x="{LEFT}" y="{at}" width="{max(1.0, value * scale):.1f}" '
                f'height="{BAR - 2}" fill="{colours[name]}"/>'
            )
            parts.append(_text(LEFT + value * scale + 5, at + BAR - 3, _number(value), size=10))
            at += BAR
        at += GAP
    head = [_text(10, 20, f"{title} ({unit})", size=14), *_legend(colours, groups)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{at}" '
        f'viewBox="0 0 {WIDTH} {at}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{at}" fill="#ffffff"/>\n'
        + "\n".join([*head, *parts])
        + "\n</svg>\n"
    )


def _legend(colours: Mapping[str, str], groups: Groups) -> Iterable[str]:
    used = {name for values in groups.values() for name in values}
    x = 10
    for name, colour in colours.items():
        if name in used:
            yield f'<rect x="{x}" y="32" width="11" height="11" fill="{colour}"/>'
            yield _text(x + 16, 42, name)
            x += 40 + 7 * len(name)


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="#222222">{escape(text)}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def flat_out(results: Results) -> Groups:
    """Return queries a CPU-second by workload and server."""
    groups: dict[str, dict[str, float]] = {}
    for each in results.find(rate=None, with_changes=False, is_latency=False):
        groups.setdefault(each.workload, {})[each.server] = each.per_cpu_second
    return groups


def under_changes(results: Results) -> Groups:
    """Return the same of one server, without changes and with them."""
    groups: dict[str, dict[str, float]] = {}
    for each in results.find(rate=None, with_changes=True, is_latency=False):
        for calm in results.find(
            rate=None, with_changes=False, is_latency=False,
            workload=each.workload, server=each.server,
        ):  # fmt: skip
            pair = {"calm": calm.per_cpu_second, "500 changes/s": each.per_cpu_second}
            groups[f"{each.workload}, {each.server}"] = pair
    return groups


def by_rate(results: Results, workload: str) -> Groups:
    """Return CPU microseconds a query by rate and server."""
    groups: dict[str, dict[str, float]] = {}
    for each in results.find(workload=workload, with_changes=False, is_latency=False):
        name = f"{each.rate:,} a second" if each.rate else "flat out"
        groups.setdefault(name, {})[each.server] = each.microseconds
    flat = groups.pop("flat out", None)
    if len(groups) == 0 or flat is None:
        return {}
    return {**groups, "flat out": {name: flat[name] for name in flat}}


def latencies(results: Results) -> Groups:
    """Return percentiles in microseconds by server."""
    groups: dict[str, dict[str, float]] = {}
    for each in results.find(is_latency=True):
        for share in ("p50", "p99", "p99.9"):
            group = f"{share} at {each.rate:,} a second"
            groups.setdefault(group, {})[each.server] = each.latency(share)
    return groups


def draw(results: Results, folder: Path) -> None:
    """Write every chart for which there are figures."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(each.server for each in results.series))
    charts: dict[str, tuple[str, str, Groups, list[str]]] = {
        "flat-out": ("Flat out", "queries a CPU-second", flat_out(results), names),
        "changes": (
            "While endpoints change", "queries a CPU-second", under_changes(results),
            ["calm", "500 changes/s"],
        ),
        "latency": ("Latency at a fixed rate", "microseconds", latencies(results), names),
    }  # fmt: skip
    for workload in ("mix", "unique", "uncached"):
        title = f"Cost of a query: {workload}"
        charts[f"rates-{workload}"] = (title, "CPU us", by_rate(results, workload), names)
    for name, (title, unit, groups, legend) in charts.items():
        if groups:
            (folder / f"{name}.svg").write_text(bars(title, unit, groups, legend))


if __name__ == "__main__":
    *files, target = map(Path, sys.argv[1:])
    draw(Results.read(*files), target)
