"""``make bench``: queries per CPU-second, beside Unbound and a bare loop in the same run."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import load
import names
import processes

ROUNDS = 3
SERVERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[tuple[int, int]]]] = {
    "bare loop": processes.bare_loop,
    "unbound": processes.unbound,
    "k8sdns": processes.k8sdns,
}


def main() -> None:
    """Measure every server in turn, several rounds, and print the table."""
    missing = load.has_tools()
    if missing:
        raise SystemExit(f"make bench needs Debian's {' and '.join(missing)}: apt-get install them")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mix, unique = folder / "mix.txt", folder / "unique.txt"
        names.write_mix(mix)
        names.write_unique(unique)
        servers = {}
        for name, start in SERVERS.items():
            own = folder / name.replace(" ", "-")
            own.mkdir()
            servers[name] = stack.enter_context(start(own))
        for title, queries in (("cluster mix", mix), ("all names unique", unique)):
            measure(title, queries, servers)


def measure(title: str, queries: Path, servers: dict[str, tuple[int, int]]) -> None:
    """Print one table: the median of the rounds and their spread, as a ratio to Unbound."""
    rounds: dict[str, list[load.Spent]] = {name: [] for name in servers}
    for number in range(ROUNDS):
        for name, (port, pid) in servers.items():
            print(f"{title}: round {number + 1} of {ROUNDS}, {name}", end="\r", flush=True)
            rounds[name].append(load.dnsperf(port, pid, queries))
    yard = statistics.median(spent.per_cpu_second for spent in rounds["unbound"])
    print(
        f"{title:<40}{'queries/CPU-s':>16}{'spread':>18}"
        f"{'of unbound':>12}{'us/query':>10}{'lost':>8}"
    )
    for name, spent in rounds.items():
        speeds = [each.per_cpu_second for each in spent]
        middle = statistics.median(speeds)
        spread = f"{min(speeds):,.0f}-{max(speeds):,.0f}"
        lost = sum(each.lost for each in spent)
        print(
            f"{name:<40}{middle:>16,.0f}{spread:>18}"
            f"{middle / yard:>12.2f}{1e6 / middle:>10.1f}{lost:>8}"
        )


if __name__ == "__main__":
    main()
