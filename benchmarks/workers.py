"""``python benchmarks/workers.py``: what ``multisocket 2`` takes and gives beside one process.

memory: of each process at the envelope, once synced and after a relist. cost: the CPU time of a
query, one process and two workers on the same CPU, in turn. quota: how a server starts and answers
at a tenth of a CPU; this needs root, to make a control group.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from pathlib import Path

import cluster
import load
import quotas
from pods import EXAMPLES, Pod, mib, pod
from processes import MEASURED

COUNTS = (1, 2)
SMALL_SHARE = 0.1
ROUNDS = 5
SECONDS = 5.0
NAMES = [f"n{number}.nowhere.svc.cluster.local A" for number in range(2_000_000)]
LOADS: dict[str, tuple[int, int | None]] = {  # how many names, how many a second
    "names that come again, flat out": (1000, None),
    "names that come again, 10,000 a second": (1000, 10_000),
    "names that come again, 2,000 a second": (1000, 2_000),
    "names asked once, flat out": (len(NAMES), None),
    "names asked once, 10,000 a second": (len(NAMES), 10_000),
}


def memory(workers: int, sizes: dict[str, int]) -> None:
    """Memory of every process once all know everything, and again after a relist."""
    api = cluster.Api(sizes)
    try:
        with pod(f"endpoint {api.url}\n        startup_timeout 2m", workers) as started:
            started.until_ready()
            time.sleep(5)
            _print_memory(f"{workers} worker(s), synced", started)
            api.do("relist")
            time.sleep(15)
            _print_memory(f"{workers} worker(s), after a relist", started)
    finally:
        api.stop()


def _print_memory(title: str, started: Pod) -> None:
    parts = [(role, mib(pid, "Pss"), mib(pid, "Private_Dirty")) for role, pid in started.pids()]
    words = ", ".join(f"{role} {pss:.0f} ({own:.0f} its own)" for role, pss, own in parts)
    print(f"{title}: {sum(pss for _, pss, _ in parts):.0f} MiB PSS: {words}", flush=True)


def cost(rounds: int, seconds: float) -> None:
    """CPU microseconds a query of one process and of two workers, all on one and the same CPU.

    The load generator has the other CPUs. Rounds alternate, and so does who comes first in one.
    """
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        pods = {count: stack.enter_context(pod(EXAMPLES, count, cpus=MEASURED)) for count in COUNTS}
        for started in pods.values():
            started.until_ready()
        for number in range(rounds):
            for title, (names, rate) in LOADS.items():
                # Each name once for each server, whatever it was asked in earlier rounds.
                lines = NAMES[:names] if names < len(NAMES) else _part(number, rounds)
                queries = load.write_queries(Path(folder) / "queries", lines)
                for count in COUNTS[:: 1 if number % 2 else -1]:
                    spent = _spent(pods[count], queries, seconds, rate)
                    found.setdefault((title, count), []).append(spent)
        for started in pods.values():
            _print_complaints(started)
    print(f"{rounds} rounds of {seconds:g} s; CPU us a query of all processes, median (from-to)")
    for title in LOADS:
        one, two = (found[title, count] for count in COUNTS)
        ratios = [b / a for a, b in zip(one, two, strict=True)]
        print(f"{title}: one {_spread(one)}, two {_spread(two)}, two to one {_spread(ratios)}")


def _print_complaints(started: Pod) -> None:
    for line in started.log.read_text().splitlines():
        if "[ERROR]" in line or "[WARN" in line:
            print(line)


def _part(number: int, rounds: int) -> list[str]:
    size = len(NAMES) // rounds
    return NAMES[number * size : (number + 1) * size]


def _spent(started: Pod, queries: Path, seconds: float, rate: int | None) -> float:
    before = started.cpu_seconds()
    spent = load.dnsperf(started.address, queries, seconds, rate=rate)
    if spent.lost:
        print(f"{len(started.pids())} process(es): {spent.lost} lost")
    return 1e6 * (started.cpu_seconds() - before) / spent.queries


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def at_a_tenth(share: float) -> None:
    """Start all processes within one quota; ask slowly; see who was taken for hung."""
    with tempfile.TemporaryDirectory() as folder, quotas.group("small", share) as small:
        queries = load.write_queries(Path(folder) / "queries", NAMES[:200_000])
        with pod(EXAMPLES, 2, within=small) as started:
            took = started.until_ready()
            pids = started.pids()
            spent = load.dnsperf(started.address, queries, 20, rate=500, latencies=True)
            probes = []
            for _ in range(20):
                began = time.monotonic()
                started.page(started.ready, "ready")
                probes.append(time.monotonic() - began)
                time.sleep(0.1)
            stayed = "nobody" if started.pids() == pids else "somebody"
            print(
                f"two workers, all within {share:.0%} of a CPU: ready after {took:.1f} s; 500"
                f" queries/s: {spent.queries} answered, {spent.lost} lost, {spent.latencies} us;"
                f" slowest of 20 probes {max(probes):.2f} s; {stayed} was replaced"
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parts = ("memory", "cost", "quota")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--services", type=int, default=cluster.ENVELOPE["services"])
    options = parser.parse_args()
    wanted = options.parts or parts
    if "memory" in wanted:
        services = options.services
        sizes = {**cluster.ENVELOPE, "services": services, "slices": 2 * services}
        for count in COUNTS:
            memory(count, sizes)
    if "cost" in wanted:
        cost(options.rounds, options.seconds)
    if "quota" in wanted:
        why_not = quotas.why_not()
        if why_not:
            print(f"nothing is measured within a quota: {why_not}")
        else:
            at_a_tenth(SMALL_SHARE)


if __name__ == "__main__":
    main()
