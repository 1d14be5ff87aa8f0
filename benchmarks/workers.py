"""``python benchmarks/workers.py``: what ``multisocket 2`` takes and gives beside one process.

Prints the memory of each process at the envelope, the queries a second of one worker and of two
where each may use a share of a CPU, and how a server starts and answers at a tenth of a CPU. Shares
are quotas of control groups (version 1 or 2), which only root can make; without them, only the
memory is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cluster
import load
import processes

PERIOD = 100_000  # microseconds, the kernel's own and that of Kubernetes
# Where workers are paced: within a long one, all that the generator may have outstanding soon waits
# for the worker that pauses, and the other is idle.
SHORT_PERIOD = 10_000
OUTSTANDING = 1000
GROUPS = Path("/sys/fs/cgroup")
PARENT = GROUPS / "cpu" if (GROUPS / "cpu" / "cpu.cfs_quota_us").exists() else GROUPS
SHARE = 0.2  # of a CPU, each worker's: two workers leave the generator more than a CPU
SMALL_SHARE = 0.1
ROUNDS = 5
SECONDS = 8.0


class Group:
    """A control group with a CPU quota, a share of one CPU."""

    def __init__(self, name: str, share: float, period: int) -> None:
        self._path = PARENT / f"k8sdns-{os.getpid()}-{name}"
        self._path.mkdir()
        quota = round(share * period)
        if PARENT != GROUPS:
            (self._path / "cpu.cfs_period_us").write_text(str(period))
            (self._path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self._path / "cpu.max").write_text(f"{quota} {period}")

    def take(self, pid: int) -> None:
        """Have the quota hold for a process, and for what it starts from now on."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the group, once its processes are gone."""
        for _ in range(50):
            with contextlib.suppress(OSError):
                self._path.rmdir()
                return
            time.sleep(0.1)


@contextlib.contextmanager
def group(name: str, share: float, period: int = PERIOD) -> Iterator[Group]:
    """Have a control group until the block ends."""
    made = Group(name, share, period)
    try:
        yield made
    finally:
        made.remove()


def _free_port() -> int:
    for _ in range(20):
        with contextlib.suppress(OSError):  # free for TCP, and not for UDP
            return processes.free_port()
    raise SystemExit("no free port")


class Pod:
    """A server of some workers, and its processes by name."""

    def __init__(
        self, folder: Path, kubernetes: str, workers: int, within: Group | None = None
    ) -> None:
        self.port, self.ready, metrics = _free_port(), _free_port(), _free_port()
        corefile = folder / "Corefile"
        corefile.write_text(
            f".:{self.port} {{\n    bind 127.0.0.1\n    multisocket {workers}\n    errors\n"
            f"    ready 127.0.0.1:{self.ready}\n"
            f"    prometheus 127.0.0.1:{metrics}\n"
            f"    kubernetes cluster.local in-addr.arpa {{\n        {kubernetes}\n    }}\n"
            "    loadbalance\n    cache\n}\n"
        )
        run = "from twisted.scripts.twistd import run; run()"
        command = [sys.executable, "-c", run, "-n", "--pidfile=", "k8sdns", "--grace", "0"]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.began = time.monotonic()
            self._process = subprocess.Popen(
                [*command, "--corefile", str(corefile)],
                stdout=log,
                stderr=log,
                preexec_fn=(lambda: within.take(os.getpid())) if within else None,  # noqa: PLW1509 - no threads
            )

    def until_ready(self, seconds: float = 180) -> float:
        """Wait until /ready says so; return after how many seconds that was."""
        while time.monotonic() < self.began + seconds:
            url = f"http://127.0.0.1:{self.ready}/ready"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as page:
                if page.read() == b"OK":
                    return time.monotonic() - self.began
            time.sleep(0.05)
        raise SystemExit(f"never ready:\n{self.log.read_text()[-2000:]}")

    def pids(self) -> list[tuple[str, int]]:
        """Return (role, pid) of every process, the parent first."""
        found, waiting = [], [self._process.pid]
        while waiting:
            pid = waiting.pop(0)
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                is_role = name.startswith("k8sdns-")
                other = "nursery" if found else "server"
                found.append((name.removeprefix("k8sdns-") if is_role else other, pid))
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                waiting += map(int, children.split())
        return found

    def workers(self) -> list[int]:
        """Return who answers: the workers, or the one process."""
        pids = self.pids()
        return [pid for role, pid in pids if role == "worker"] or [pids[0][1]]

    def stop(self) -> None:
        """End every process, and see them gone."""
        pids = [pid for _, pid in self.pids()]
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self._process.kill()
        self._process.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(0.05)


@contextlib.contextmanager
def pod(kubernetes: str, workers: int, within: Group | None = None) -> Iterator[Pod]:
    """Run a server until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        started = Pod(Path(folder), kubernetes, workers, within)
        try:
            yield started
        finally:
            started.stop()


def pss_mib(pid: int, what: str = "Pss") -> float:
    """Return a process's part of the memory: what it shares is divided by those who share it."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = next(line for line in rollup.splitlines() if line.startswith(f"{what}:"))
    return int(found.split()[1]) / 1024


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
    parts = [(role, pss_mib(pid), pss_mib(pid, "Private_Dirty")) for role, pid in started.pids()]
    words = ", ".join(f"{role} {pss:.0f} ({own:.0f} its own)" for role, pss, own in parts)
    print(f"{title}: {sum(pss for _, pss, _ in parts):.0f} MiB PSS: {words}", flush=True)


EXAMPLES = f"manifests {Path(__file__).parents[1] / 'examples' / 'cluster'}"
NAMES = [f"n{number}.nowhere.svc.cluster.local A" for number in range(200_000)]


def throughput(share: float, rounds: int, seconds: float) -> None:
    """Queries a second and CPU a query of one process, one worker's quota, and of two."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        queries = load.write_queries(Path(folder) / "queries", NAMES)
        # Made before the servers, so that they are empty when they are removed.
        groups = [stack.enter_context(group(f"{each}", share, SHORT_PERIOD)) for each in range(3)]
        pods = {count: stack.enter_context(pod(EXAMPLES, count)) for count in rates}
        for started in pods.values():
            started.until_ready()
            for pid in started.workers():
                groups.pop().take(pid)
        for _ in range(rounds):
            for count, started in pods.items():
                rate, cost, lost = _one_round(started, queries, seconds)
                rates[count].append(rate)
                costs[count].append(cost)
                if lost:
                    print(f"{count} worker(s): {lost} lost")
    for count, rate in rates.items():
        print(
            f"{count} at {share:.0%} of a CPU each: {_spread(rate, 0)} queries/s,"
            f" {_spread(costs[count], 2)} us a query"
        )
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"two to one: {_spread(ratios, 2)}")


def _spread(values: list[float], digits: int) -> str:
    median, least, most = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def _one_round(started: Pod, queries: Path, seconds: float) -> tuple[float, float, int]:
    pids = [pid for _, pid in started.pids()]
    before = sum(map(processes.cpu_seconds, pids))
    server = ("127.0.0.1", started.port, pids[0])
    spent = load.dnsperf(server, queries, seconds, clients=200, outstanding=OUTSTANDING)
    cost = sum(map(processes.cpu_seconds, pids)) - before
    return spent.per_second, 1e6 * cost / spent.queries, spent.lost


def at_a_tenth(share: float) -> None:
    """Start all processes within one quota; ask slowly; see who was taken for hung."""
    with tempfile.TemporaryDirectory() as folder, group("small", share) as small:
        queries = load.write_queries(Path(folder) / "queries", NAMES)
        with pod(EXAMPLES, 2, small) as started:
            took = started.until_ready()
            pids = started.pids()
            server = ("127.0.0.1", started.port, pids[0][1])
            spent = load.dnsperf(server, queries, 20, rate=500, latencies=True)
            probes = []
            for _ in range(20):
                began = time.monotonic()
                url = f"http://127.0.0.1:{started.ready}/ready"
                with urllib.request.urlopen(url, timeout=10) as page:
                    page.read()
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
    parts = ("memory", "throughput", "quota")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}")
    parser.add_argument("--share", type=float, default=SHARE, help="of a CPU, each worker's")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--services", type=int, default=cluster.ENVELOPE["services"])
    options = parser.parse_args()
    wanted = options.parts or parts
    if "memory" in wanted:
        services = options.services
        sizes = {**cluster.ENVELOPE, "services": services, "slices": 2 * services}
        for count in (1, 2):
            memory(count, sizes)
    if not os.access(PARENT, os.W_OK):
        print("control groups cannot be made here: nothing is measured within a quota")
        return
    if "throughput" in wanted:
        throughput(options.share, options.rounds, options.seconds)
    if "quota" in wanted:
        at_a_tenth(SMALL_SHARE)


if __name__ == "__main__":
    main()
