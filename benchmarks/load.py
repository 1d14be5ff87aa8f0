"""Load by dnsperf, and what a server spent on it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import processes
from processes import OTHERS, cpu_seconds, rss_mib, stolen_and_all_seconds

TOOLS = {"dnsperf": "dnsperf", "unbound": "unbound"}  # program to Debian package
ATTEMPTS = 3
GIVEN_UP_AFTER = 5  # seconds: forward's time for one question
MAX_STEAL = 0.01  # of a round's CPU time; more spoils it


class GeneratorFailed(SystemExit):
    """A load generator ended with an error of its own."""


@dataclass(frozen=True)
class Spent:
    """One round of load against one server."""

    queries: int
    lost: int
    seconds: float
    cpu_seconds: float
    rss_mib: float
    steal: float  # share of the machine's CPU time that the hypervisor gave away
    rcodes: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, float] = field(default_factory=dict)  # microseconds by percentile

    @property
    def per_cpu_second(self) -> float:
        """Queries answered a second of the server's CPU."""
        return self.queries / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def microseconds(self) -> float:
        """CPU microseconds a query."""
        return 1e6 * self.cpu_seconds / self.queries if self.queries else 0.0

    @property
    def per_second(self) -> float:
        """Queries answered a second."""
        return self.queries / self.seconds


def missing_tools() -> list[str]:
    """Return the Debian packages that are missing."""
    return [package for program, package in TOOLS.items() if not processes.find(program)]


def write_queries(path: Path, lines: Iterable[str]) -> Path:
    """Write a dnsperf query file."""
    path.write_text("\n".join(lines) + "\n")
    return path


def measured(command: list[str], pid: int, seconds: float) -> tuple[str, float, float]:
    """Run a load generator. Returns its output, the CPU seconds of `pid`, and the steal.

    dnsperf 2.10 may fail on an assertion of its own with many connections: it is run again then.
    """
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(GeneratorFailed):
            return _measured(command, pid, seconds)
    return _measured(command, pid, seconds)


def _measured(command: list[str], pid: int, seconds: float) -> tuple[str, float, float]:
    stolen, everything = stolen_and_all_seconds()
    before = cpu_seconds(pid)
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, OTHERS),
    )
    after = cpu_seconds(pid)
    stolen_after, everything_after = stolen_and_all_seconds()
    if run.returncode:
        raise GeneratorFailed(f"{command[0]} failed: {run.stderr or run.stdout}")
    steal = (stolen_after - stolen) / max(everything_after - everything, 1e-9)
    return run.stdout, after - before, steal


def dnsperf(
    server: tuple[str, int, int],
    queries: Path,
    seconds: float,
    *,
    mode: str = "udp",
    rate: int | None = None,
    clients: int = 200,
    outstanding: int = 200,
    latencies: bool = False,
) -> Spent:
    """Ask (host, port, pid) for `seconds`, flat out or at `rate` a second.

    `clients` is the number of sockets, `outstanding` of queries that wait at a time.
    """
    host, port, pid = server
    command = ["dnsperf", "-s", host, "-p", str(port), "-d", str(queries), "-m", mode, "-W"]
    command += ["-l", f"{seconds:g}", "-c", str(clients), "-q", str(outstanding), "-t", "2"]
    if rate:
        command += ["-Q", str(rate)]
    if latencies:
        command += ["-v"]
    output, cpu, steal = measured(command, pid, seconds)
    found = re.search(r"Queries completed:\s+(\d+)", output)
    lost = re.search(r"Queries lost:\s+(\d+)", output)
    ran = re.search(r"Run time \(s\):\s+([\d.]+)", output)
    if not found or not lost or not ran:
        raise SystemExit(f"dnsperf said nothing of queries:\n{output[-2000:]}")
    return Spent(
        queries=int(found[1]),
        lost=int(lost[1]),
        seconds=float(ran[1]),
        cpu_seconds=cpu,
        rss_mib=rss_mib(pid),
        steal=steal,
        rcodes=_rcodes(output),
        latencies=_percentiles(output) if latencies else {},
    )


def _rcodes(output: str) -> dict[str, int]:
    line = re.search(r"Response codes:\s+(.*)", output)
    found = re.findall(r"(\w+) (\d+) \(", line[1]) if line else []
    return {rcode: int(count) for rcode, count in found}


def _percentiles(output: str) -> dict[str, float]:
    """Read what ``dnsperf -v`` says of each reply: ``> NOERROR name type seconds``.

    What was lost has no seconds, and is counted elsewhere.
    """
    waits = sorted(map(float, re.findall(r"^> \S+ \S+ \S+ ([\d.]+)$", output, re.MULTILINE)))
    if not waits:
        return {}
    last = len(waits) - 1
    return {
        f"p{share:g}": round(waits[round(last * share / 100)] * 1e6, 1)
        for share in (50, 90, 99, 99.9)
    }


def retries(server: tuple[str, int, int], queries: Path, seconds: float) -> Spent:
    """Ask as stub resolvers do: over UDP, and over a new TCP connection where TC is set."""
    host, port, pid = server
    client = Path(__file__).with_name("retry.py")
    command = [sys.executable, str(client), host, str(port), str(queries), f"{seconds:g}"]
    output, cpu, steal = measured(command, pid, seconds)
    asked, lost, took = output.split()
    return Spent(int(asked), int(lost), float(took), cpu, rss_mib(pid), steal)


@contextlib.contextmanager
def waiting(server: tuple[str, int, int], queries: Path, count: int) -> Iterator[None]:
    """Keep about `count` questions waiting until the block ends: given up after some 5 s each."""
    host, port, _ = server
    command = ["dnsperf", "-s", host, "-p", str(port), "-d", str(queries), "-q", str(2 * count)]
    command += ["-c", "100", "-t", "6", "-l", "60", "-Q", str(count // GIVEN_UP_AFTER)]
    flood = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.sched_setaffinity(flood.pid, OTHERS)
    try:
        time.sleep(GIVEN_UP_AFTER + 1)
        yield
    finally:
        flood.kill()
        flood.wait()


@contextlib.contextmanager
def crowding(server: tuple[str, int, int], queries: Path, count: int) -> Iterator[None]:
    """Send `count` questions in one go a second after the block begins; nobody reads replies."""
    host, port, _ = server
    names = queries.read_text(encoding="ascii").splitlines()[:count]
    messages = [dns.message.make_query(line.split()[0], "A").to_wire() for line in names]

    def crowd() -> None:
        time.sleep(1)
        for number, message in enumerate(messages):
            senders[number % len(senders)].send(message)

    with contextlib.ExitStack() as stack:
        senders = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            for _ in range(100)
        ]
        for sender in senders:
            sender.connect((host, port))
        thread = threading.Thread(target=crowd)
        thread.start()
        yield
        thread.join()


def idle(pid: int, seconds: float) -> float:
    """Return the CPU seconds that a server spends while nobody asks it."""
    return measured(["sleep", f"{seconds:g}"], pid, seconds)[1]
