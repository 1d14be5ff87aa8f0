"""``python benchmarks/growth.py``: what each thousand objects of a cluster costs one process.

Follows clusters of a quarter, half, three quarters and all of SIG-scalability's envelope, without
pods and with all of them (`pods verified`); prints CPU time and memory until synced, the CPU time
of a relist and of one changed slice, and what a thousand more objects add, in the first half of
the envelope and in the second.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import NamedTuple

from clusterserver import Api, Server, server

ENVELOPE = {"namespaces": 5_000, "services": 10_000, "slices": 20_000, "pods": 150_000}
QUARTERS = (1, 2, 3, 4)
ROUNDS = 3
EVENTS = 500  # a second
EVENT_SECONDS = 4
SETTLED = 0.03  # seconds of CPU in one second: nothing is going on


class Cost(NamedTuple):
    """What one size cost; CPU in seconds, an event's in microseconds, memory in MiB."""

    objects: int
    sync_cpu: float
    mib: float
    relist_cpu: float
    event_us: float


def sizes(quarter: int, *, with_pods: bool) -> dict[str, int]:
    """Return how many objects of each kind so many quarters of the envelope have."""
    found = {kind: count * quarter // 4 for kind, count in ENVELOPE.items()}
    return found if with_pods else {**found, "pods": 0}


def last_name(of: dict[str, int]) -> str:
    """Return the name of what is listed last."""
    number, namespaces = of["pods"] - 1, of["namespaces"]
    if number < 0:
        number = of["services"] - 1
        return f"s{number}.n{number % namespaces}.svc.cluster.local"
    address = f"10-{128 + (number >> 16)}-{number >> 8 & 255}-{number & 255}"
    return f"{address}.n{number % namespaces}.pod.cluster.local"


def cost(quarter: int, *, with_pods: bool) -> Cost:
    """Follow a cluster of this size."""
    of = sizes(quarter, with_pods=with_pods)
    api = Api(of)
    options = ["pods verified"] if with_pods else []
    try:
        rounds = [_round(api, of, options) for _ in range(ROUNDS)]
    finally:
        api.stop()
    return Cost(sum(of.values()), *map(statistics.median, zip(*rounds, strict=True)))


def _round(api: Api, of: dict[str, int], options: list[str]) -> tuple[float, ...]:
    nothing = ["labels nobody=has", "namespace_labels nobody=has"]
    with server([f"endpoint {api.url}", *nothing]) as bare:
        bare.until("cluster.local")
        bare_cpu, bare_mib = bare.cpu_seconds, bare.mib("VmRSS")
    with server([f"endpoint {api.url}", "startup_timeout 3m", *options]) as started:
        started.until(last_name(of))
        cpu, mib = started.cpu_seconds - bare_cpu, started.mib("VmRSS") - bare_mib
        time.sleep(2)  # whatever follows a first answer
        before = started.cpu_seconds
        events = api.do("churn", rate=EVENTS, seconds=EVENT_SECONDS)["events"]
        _settle(started)
        event = 1e6 * (started.cpu_seconds - before) / events
        before = started.cpu_seconds
        api.do("relist")
        _settle(started, at_least=12)
        return cpu, mib, started.cpu_seconds - before, event


def _settle(started: Server, at_least: int = 1) -> None:
    for second in range(60):
        before = started.cpu_seconds
        time.sleep(1)
        if second >= at_least and started.cpu_seconds - before < SETTLED:
            return
    raise SystemExit("the server never came to rest")


def _print(title: str, costs: list[Cost]) -> None:
    print(f"\n{title}\n")
    print("| objects | sync, CPU-s | MiB | relist, CPU-s | an event, us CPU |")
    print("|--:|--:|--:|--:|--:|")
    for each in costs:
        print(
            f"| {each.objects:,} | {each.sync_cpu:.2f} | {each.mib:.1f} | {each.relist_cpu:.2f} |"
            f" {each.event_us:.0f} |"
        )
    first, middle, last = costs[0], costs[len(costs) // 2 - 1], costs[-1]
    for part, low, high in (("quarter to half", first, middle), ("half to all", middle, last)):
        thousands = (high.objects - low.objects) / 1000
        sync, relist = high.sync_cpu - low.sync_cpu, high.relist_cpu - low.relist_cpu
        print(
            f"{part}, of 1,000 objects more: sync {1e3 * sync / thousands:.1f} ms CPU,"
            f" {1024 * (high.mib - low.mib) / thousands:.0f} KiB,"
            f" relist {1e3 * relist / thousands:.1f} ms CPU",
            flush=True,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="of services, pods")
    wanted = parser.parse_args().kinds or ("services", "pods")
    if "services" in wanted:
        found = [cost(quarter, with_pods=False) for quarter in QUARTERS]
        _print("Services, slices of five endpoints, namespaces", found)
    if "pods" in wanted:
        found = [cost(quarter, with_pods=True) for quarter in QUARTERS]
        _print("the same and pods (`pods verified`)", found)


if __name__ == "__main__":
    main()
