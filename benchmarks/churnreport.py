"""What an hour of churn comes to: one dictionary, and its tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from churn import Run

WARM_UP = 5.0  # minutes


def result(
    run: Run, counts: dict[str, Any], control: dict[str, float], restarts: int, api_cpu: float
) -> dict[str, Any]:
    """Sum a run up. RSS in KiB, slope in KiB an hour, CPU in seconds."""
    points = run.checkpoints
    warm = min(WARM_UP, run.options.minutes / 4)
    samples = [(minute / 60, kib) for minute, kib, _ in run.samples if minute >= warm]
    waited = sorted(point["agreed_after_s"] for point in points)
    minutes = [point["minute"] for point in points]
    return {
        "minutes": round(run.samples[-1][0], 1),
        "seed": run.options.seed,
        "changes": counts["changes"],
        "asked_of_the_api": counts["asked"],
        "faults": dict(run.faults),
        "checkpoints": points,
        "questions": sum(point["questions"] for point in points),
        "differences": sum(p["differences"] + p["transfer_differences"] for p in points),
        "drift": points[-1]["drift"],
        "longest_lag_s": max(point["lag_s"] for point in points),
        "agreed_after_s": {"p50": waited[len(waited) // 2], "max": waited[-1]},
        "meanwhile": dict(run.server.said),
        "rss_kib": {
            f"{minute:g} min": point["rss_kib"]
            for minute, point in zip(minutes, points, strict=True)
            if minute in {_nearest(minutes, at) for at in (warm, minutes[-1] / 2, minutes[-1])}
        },
        "rss_slope_kib_an_hour": round(slope(samples), 1),
        "cpu_s": {"k8sdns": round(run.samples[-1][2], 1), "api": round(api_cpu, 1)},
        "restarts": restarts,
        "control": control,
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope of (x, y); 0 where there are fewer than two."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def _nearest(values: list[float], to: float) -> float:
    return min(values, key=lambda value: abs(value - to))


def tables(summary: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown table, and of one of the faults."""
    rss = ", ".join(f"{kib:,.0f} KiB at {at}" for at, kib in summary["rss_kib"].items())
    agreed, control = summary["agreed_after_s"], summary["control"]
    rows = {
        "minutes": summary["minutes"],
        "changes": f"{sum(summary['changes'].values()):,}",
        "faults": f"{sum(summary['faults'].values()):,}",
        "checkpoints": f"{len(summary['checkpoints'])}, {summary['questions']:,} questions",
        "differences": summary["differences"],
        "agreed after": f"p50 {agreed['p50']} s, longest {agreed['max']} s",
        "drift": f"{summary['drift']:g}",
        "longest lag at a checkpoint": f"{summary['longest_lag_s']} s",
        "answers meanwhile": summary["meanwhile"],
        "RSS": rss,
        "slope of RSS": f"{summary['rss_slope_kib_an_hour']} KiB an hour",
        "CPU": f"{summary['cpu_s']['k8sdns']} s, the API server {summary['cpu_s']['api']} s",
        "restarts": summary["restarts"],
        "tracebacks in the log": summary["errors_logged"],
        "control": control,
    }
    yield "| | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in rows.items())
    for title in ("changes", "faults", "asked_of_the_api"):
        yield f"\n| {title.replace('_', ' ')} | times |\n|---|--:|"
        yield from (f"| {kind} | {times:,} |" for kind, times in sorted(summary[title].items()))
