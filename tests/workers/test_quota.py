"""All processes of a server within a tenth of a CPU: it starts, and answers queries and probes."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import dns.message
import dns.query
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHARE = 0.1
COUNT = 200
PAUSE = 0.01  # seconds between two queries
QUERY = dns.message.make_query("shop.bakery.svc.cluster.local", "A")


def module(name):
    """Import a module of the benchmarks, which are programs and no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def pods(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield module("pods")
    for name in set(sys.modules) - before:
        if name in {"pods", "processes", "quotas"}:
            del sys.modules[name]


def test_a_server_at_a_tenth_of_a_cpu_starts_and_answers(pods, record_property, capsys):
    quotas = sys.modules["quotas"]
    if why_not := quotas.why_not():
        pytest.skip(why_not)
    with quotas.group("test", SHARE) as small, pods.pod(pods.EXAMPLES, 2, within=small) as server:
        took = server.until_ready()
        pids = server.pids()
        waits, probes = [], []
        for number in range(COUNT):
            waits.append(timed(lambda: ask(server.port)))
            if number % 20 == 0:
                probes.append(timed(lambda: server.page(server.ready, "ready")))
            time.sleep(PAUSE)
        assert server.pids() == pids, "a process that is not let run was taken for one that hangs"
    p99 = sorted(waits)[COUNT * 99 // 100]
    record_property("p99_ms", round(p99 * 1000, 1))
    with capsys.disabled():
        print(
            f"\nat {SHARE:.0%} of a CPU: ready after {took:.1f} s, p99 {p99 * 1000:.1f} ms,"
            f" slowest probe {max(probes) * 1000:.0f} ms"
        )


def ask(port):
    """Have one answer; a reply that never comes fails the test."""
    assert dns.query.udp(QUERY, "127.0.0.1", port=port, timeout=5).answer


def timed(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began
