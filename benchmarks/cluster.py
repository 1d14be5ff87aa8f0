"""``python benchmarks/cluster.py``: what following a large cluster costs, and how soon it shows.

Prints CPU seconds and memory until synced, gaps of the event loop during first sync, relist and
1,000 events a second, and the time from an event to the answer, all while questions are answered.
The API server is `clusterapi`, in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import clusterapi
import dns.rcode
import loss
from clusterserver import Api, Server, server
from processes import OTHERS

ENVELOPE = {"namespaces": 500, "services": 10_000, "slices": 20_000}
PODS = {"namespaces": 500, "services": 100, "slices": 100, "pods": 150_000}
ROUNDS = 3
RATE = 2000  # queries a second
EVENTS = 1000  # changes a second
SHARES = (50, 90, 99, 99.9, 100)


@contextlib.contextmanager
def load(port: int, rate: int, seconds: float) -> Iterator[dict[str, int]]:
    """Ask `rate` questions a second meanwhile; the dictionary is filled afterwards."""
    counts: dict[str, int] = {}
    if not shutil.which("dnsperf"):
        print("(no dnsperf: nothing else is asked meanwhile)")
        yield counts
        return
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(loss.QUERIES) + "\n")
        file.flush()
        command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", file.name, "-Q", str(rate)]
        command += ["-l", str(seconds), "-c", "20", "-q", "20000", "-W"]
        asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(asking.pid, OTHERS)
        try:
            yield counts
        finally:
            output = asking.communicate()[0]
    for name in ("completed", "lost"):
        found = re.search(rf"Queries {name}:\s+(\d+)", output)
        counts[name] = int(found[1]) if found else 0


def shares(values: list[float], unit: str) -> str:
    """Return percentiles in words."""
    ordered = sorted(values) or [0.0]
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] for share in SHARES]
    words = (f"p{share:g}" if share < 100 else "max" for share in SHARES)
    return "  ".join(f"{word} {value:.2f}" for word, value in zip(words, at, strict=True)) + unit


def histogram(seen: dict[str, Any]) -> str:
    """Return how many ticks were how late, and how much of that was the server's own work."""
    bounds = (1, 2, 5, 10, 20, 50)
    lines = []
    for what in ("gaps", "work"):
        counts = [0] * (len(bounds) + 1)
        for gap in seen[what]:
            counts[next((i for i, bound in enumerate(bounds) if gap <= bound), len(bounds))] += 1
        counts[0] += seen["ticks"] - len(seen[what])
        words = [f"<={bound} ms {count}" for bound, count in zip(bounds, counts, strict=False)]
        longest = max(seen[what], default=0)
        lines.append(f"    {what}: {', '.join(words)}, more {counts[-1]}; longest {longest:.1f} ms")
    return "\n".join(lines)


def sync(title: str, api: Api, last: str, options: list[str]) -> None:
    """CPU and memory until synced, less those of a server that follows nothing."""
    rows, bare = [], []
    for _ in range(ROUNDS):
        nothing = ["labels nobody=has", "namespace_labels nobody=has"]
        with server([f"endpoint {api.url}", *nothing]) as started:
            started.until("cluster.local")
            bare.append((started.cpu_seconds, started.mib("VmRSS")))
        follow = [f"endpoint {api.url}", "startup_timeout 2m", *options]
        with server(follow) as started:
            took = started.until(last) - started.began
            rows.append((took, started.cpu_seconds, started.mib("VmHWM"), started.mib("VmRSS")))
    took, cpu, peak, now = (statistics.median(column) for column in zip(*rows, strict=True))
    cpu_bare, mib_bare = (statistics.median(column) for column in zip(*bare, strict=True))
    print(
        f"{title}: first answer after {took:.1f} s; {cpu:.2f} CPU-s, {cpu - cpu_bare:.2f} more than"
        f" following nothing; RSS peak {peak:.0f} MiB, then {now:.0f} ({now - mib_bare:.0f} more)"
    )


def gaps(api: Api, rate: int) -> None:
    """Gaps of the event loop, and lost queries, while the cluster gives work."""
    with server([f"endpoint {api.url}", "startup_timeout 100ms"], probed=True) as started:
        # A denial is the proof of a complete listing.
        started.until("nobody.n1.svc.cluster.local", dns.rcode.NXDOMAIN)
        print(f"start and first sync\n{histogram(started.gaps())}")
        with load(started.port, rate, 10) as asked:
            time.sleep(9)
        print(f"nothing but {rate} queries/s: {asked}\n{histogram(started.gaps())}")
        before = started.cpu_seconds
        with load(started.port, rate, 10) as asked:
            time.sleep(9.5)
        idle = started.cpu_seconds - before
        started.gaps()
        before = started.cpu_seconds
        with load(started.port, rate, 10) as asked:
            time.sleep(0.5)
            events = api.do("churn", rate=EVENTS, seconds=9)["events"]
        cost = (started.cpu_seconds - before - idle) / events * 1e6
        print(f"{events / 9:.0f} events/s: {asked}; {cost:.0f} CPU us an event")
        print(histogram(started.gaps()))
        before = started.cpu_seconds
        with load(started.port, rate, 10) as asked:
            time.sleep(1)
            api.do("relist")
            time.sleep(8)
        cost = started.cpu_seconds - before - idle
        print(f"relist: {asked}; {cost:.2f} CPU-s")
        print(histogram(started.gaps()))

        for what, again in (("scrape", started.scrape), ("reload", started.reload)):
            before = started.cpu_seconds
            with load(started.port, rate, 10) as asked:
                time.sleep(1)
                for _ in range(4):
                    again()
                    time.sleep(2)
            cost = (started.cpu_seconds - before - idle) / 4
            print(f"{what}, four times: {asked}; {cost:.2f} CPU-s each")
            print(histogram(started.gaps()))


def freshness(api: Api, rate: int, count: int = 1000) -> None:
    """Event to answer, for names that were asked before they existed."""
    cases: dict[str, list[float]] = {}
    things = {
        "Service": ("s90001.n1", lambda form: clusterapi.a_service(90_001, 500, form=form)),
        "endpoint": ("s0.n0", lambda form: clusterapi.a_slice(0, 0, 500, form=form)),
        "pod": ("", lambda form: clusterapi.a_pod(90_000 + form, 500)),
    }
    options = [f"endpoint {api.url}", "startup_timeout 2m", "pods verified"]
    with server(options) as started, tempfile.TemporaryDirectory():
        started.until("s1.n1.svc.cluster.local")
        with load(started.port, rate, 60) as asked:
            time.sleep(1)
            for number in range(count):
                for what in things:
                    for step, latency in _one(api, started, what, number):
                        cases.setdefault(f"{what} {step}", []).append(latency * 1000)
        for case, found in cases.items():
            print(f"event to answer, {case:<18} {shares(found, ' ms')}")
        print(f"meanwhile: {asked}")


def _one(api: Api, started: Server, what: str, number: int) -> Iterator[tuple[str, float]]:
    """Create, change and delete one object; yield how long each took to show."""
    if what == "Service":
        name = "s90001.n1.svc.cluster.local"
        yield "create", _seen(api, started, name, clusterapi.a_service(90_001, 500, form=1))
        yield "change", _seen(api, started, name, clusterapi.a_service(90_001, 500, form=2))
        yield "delete", _gone(api, started, name, ["Service", "n1", "s90001"])
    elif what == "endpoint":
        name = "s90010.n10.svc.cluster.local"
        api.do("apply", things=[clusterapi.a_service(90_010, 500)])
        yield "create", _seen(api, started, name, clusterapi.a_slice(90_010, 90_010, 500))
        yield "change", _seen(api, started, name, clusterapi.a_slice(90_010, 90_010, 500, form=2))
        yield "delete", _gone(api, started, name, ["EndpointSlice", "n10", "s90010-90010"])
    else:
        pod = clusterapi.a_pod(60_000 + number, 500)
        name = (
            pod["status"]["podIP"].replace(".", "-")
            + f".n{(60_000 + number) % 500}.pod.cluster.local"
        )
        yield "create", _seen(api, started, name, pod)
        yield (
            "delete",
            _gone(
                api, started, name, ["Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]]
            ),
        )


def _answers(started: Server, name: str) -> frozenset[str] | None:
    reply = started.ask(name)
    if reply is None:
        return None
    return frozenset(str(item) for rrset in reply.answer for item in rrset)


def _seen(api: Api, started: Server, name: str, thing: dict[str, Any]) -> float:
    before = _answers(started, name)
    api.begin("apply", things=[thing])
    return _until(api, started, name, lambda now: now != before and bool(now))


def _gone(api: Api, started: Server, name: str, key: list[str]) -> float:
    api.begin("delete", things=[key])
    return _until(api, started, name, lambda now: not now)


def _until(api: Api, started: Server, name: str, wanted: Any) -> float:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        now = _answers(started, name)
        if now is not None and wanted(now):
            seen: float = time.monotonic() - api.answer()["at"][0]
            return seen
    raise SystemExit(f"{name}: a change never showed")


def main() -> None:
    """Measure what was asked for, or all of it."""
    parts = ("sync", "gaps", "loss", "freshness", "pods")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=" ".join(parts))
    parser.add_argument("--rate", type=int, default=RATE, help="queries a second meanwhile")
    arguments = parser.parse_args()
    chosen = arguments.parts or list(parts)
    if {"sync", "gaps", "loss", "freshness"} & set(chosen):
        api = Api(ENVELOPE)
        if "sync" in chosen:
            last = "s9999.n499.svc.cluster.local"
            sync("10,000 Services, 100,000 endpoints in 20,000 slices", api, last, [])
        if "gaps" in chosen:
            gaps(api, arguments.rate)
        if "loss" in chosen:
            print("\n".join(loss.phases(api, EVENTS)))
        if "freshness" in chosen:
            freshness(api, arguments.rate)
        api.stop()
    if "pods" in chosen:
        api = Api(PODS)
        sync(
            "150,000 pods, verified", api, "10-130-73-239.n499.pod.cluster.local", ["pods verified"]
        )
        api.stop()


if __name__ == "__main__":
    main()
