"""``python benchmarks/overload.py``: cluster names while outside names are asked flat out.

The upstream is dead (takes every question and answers none), slow (answers after 200 ms), or
quick. Cluster names are asked at a fixed rate from sockets of their own; what is printed is how
many of those were lost, how long they took, beside a calm server, what became of the outside ones,
and what the server says of itself. The server has the first CPU, everything else the others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import load
import processes
from pods import EXAMPLES, Pod, pod
from processes import MEASURED, OTHERS

RATE = 2_000  # cluster names a second
SECONDS = 8.0
ROUNDS = 3
OUTSTANDING = 5_000  # outside names that the generator has waiting at a time
MAX_CONCURRENT = 1_000  # kubeadm's Corefile
CLUSTER = [
    "shop.bakery.svc.cluster.local A",
    "shop.bakery.svc.cluster.local AAAA",
    "kubernetes.default.svc.cluster.local A",
]
OUTSIDE = [f"n{number}.outside.test A" for number in range(3_000_000)]
SHOWN = ("k8sdns_saturation_ratio", "k8sdns_udp_socket_drops_total", "k8sdns_queries_waiting")


@contextlib.contextmanager
def upstream(kind: str) -> Iterator[int]:
    """Run an upstream until the block ends; its port."""
    port = processes.free_port()
    if kind == "dead":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
            yield port
        return
    program = Path(__file__).with_name("slowupstream.py")
    delay = {"slow": "200", "quick": "0"}[kind]
    process = subprocess.Popen([sys.executable, str(program), str(port), delay])
    os.sched_setaffinity(process.pid, OTHERS)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def flood(server: Pod, queries: Path, seconds: float) -> Iterator[list[str]]:
    """Ask outside names flat out until the block ends; the list then says what became of them."""
    said: list[str] = []
    host, port, _ = server.address
    command = ["dnsperf", "-s", host, "-p", str(port), "-d", str(queries), "-W", "-t", "2"]
    command += ["-c", "100", "-q", str(OUTSTANDING), "-l", f"{seconds:g}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, OTHERS)
    try:
        time.sleep(1)
        yield said
        output, _ = process.communicate(timeout=60)
        for words in ("Queries sent", "Queries lost", "Response codes"):
            found = re.search(rf"{words}:\s+(.*)", output)
            said.append(f"{words.split()[1]} {found[1]}" if found else f"no {words}")
    finally:
        process.kill()
        process.wait()


def one_kind(kind: str, workers: int, folder: Path) -> None:
    """Print how cluster names fare with this upstream, in calm and under the flood, in turn."""
    calm, stormy, lost = [], [], []
    with upstream(kind) as port:
        forward = f"forward . 127.0.0.1:{port} {{\n        max_concurrent {MAX_CONCURRENT}\n    }}"
        with pod(EXAMPLES, workers, more=forward, cpus=MEASURED) as server:
            server.until_ready()
            cluster = load.write_queries(folder / "cluster", CLUSTER)
            outside = load.write_queries(folder / "outside", OUTSIDE)
            for _ in range(ROUNDS):
                calm.append(_asked(server, cluster))
                with flood(server, outside, SECONDS + 2) as said:
                    spent = _asked(server, cluster)
                    page = server.page(server.metrics, "metrics").decode()
                stormy.append(spent)
                lost.append(spent.lost / max(1, spent.lost + spent.queries))
            print(f"\n{kind} upstream, {workers} worker(s), {RATE} cluster names a second")
            for title, rounds in (("calm", calm), ("flood", stormy)):
                print(f"  {title}: {_latencies(rounds)}")
            print(f"  lost in the flood: {', '.join(f'{share:.2%}' for share in lost)}")
            print(f"  outside names of the last round: {'; '.join(said)}")
            print("  " + "; ".join(_shown(page)), flush=True)


def _asked(server: Pod, queries: Path) -> load.Spent:
    return load.dnsperf(server.address, queries, SECONDS, rate=RATE, clients=50, latencies=True)


def _latencies(rounds: list[load.Spent]) -> str:
    words = []
    for which in rounds[0].latencies:
        each = [spent.latencies[which] for spent in rounds]
        words.append(f"{which} {statistics.median(each):.0f} ({min(each):.0f}-{max(each):.0f}) us")
    return ", ".join(words)


def _shown(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(SHOWN)]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", help="of dead, slow, quick")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds or ("dead", "slow", "quick"):
            one_kind(kind, options.workers, Path(folder))


if __name__ == "__main__":
    main()
