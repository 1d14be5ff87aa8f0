"""Queries lost at half of the peak rate, whatever the cluster does: the part `loss` of `cluster`.

The peak is measured first, in the same run: the best of three short floods. Then half of it is
asked for through each phase. A lost query is one that dnsperf had no reply to within five seconds;
how many of them the kernel dropped at the server's socket is the server's own metric, and how many
at any socket of this machine, dnsperf's too, is the kernel's. Where the server waited long for its
CPU, others used it: such a phase proves nothing.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.rcode
import load
import processes
from clusterserver import Api, Server, server
from load import Spent

QUERIES = [f"s{n}.n{n % 500}.svc.cluster.local A" for n in range(0, 10_000, 7)]
QUERIES += [f"s{n}.n{n % 500}.svc.cluster.local.n1.svc.cluster.local A" for n in range(500)]
CLIENTS = 20
OUTSTANDING = 7_000
"""After a pause of its own dnsperf sends all at once that it should have sent meanwhile: no more
than the server's socket surely has room for, which is 10,000 datagrams, a quarter of which may be
charged for what was read already. So a pause of the server may show as a long wait, not a loss."""
SECONDS = 10.0
FLOODS = 3
BUFFER_KIB = 4096  # dnsperf's own sockets: its 32 KiB overflow after a pause of milliseconds
OPTIONS = ["startup_timeout 100ms"]


def phases(api: Api, events: int) -> Iterator[str]:
    """Measure the peak, then every phase at half of it; yield lines of a table."""
    with tempfile.TemporaryDirectory() as folder:
        queries = load.write_queries(Path(folder) / "queries", QUERIES)
        with server([f"endpoint {api.url}", *OPTIONS]) as started:
            started.until("nobody.n1.svc.cluster.local", dns.rcode.NXDOMAIN)
            rate = int(_peak(started, queries) / 2)
            yield f"half of the peak is {rate} queries a second; {_buffer(started)}"
            yield (
                "| | asked | a second | lost | dropped at its socket | at any socket"
                " | longest wait, ms | CPU-s | waited for the CPU, s |"
            )
            yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
            for name, disturb in _disturbances(api, started, events).items():
                yield _phase(name, started, queries, rate, disturb)
        with server([f"endpoint {api.url}", *OPTIONS]) as started:
            while started.ask("cluster.local") is None:
                time.sleep(0.01)
            yield _phase("first sync", started, queries, rate, lambda: None)
            started.until("nobody.n1.svc.cluster.local", dns.rcode.NXDOMAIN)


def _disturbances(api: Api, started: Server, events: int) -> dict[str, Callable[[], object]]:
    def four_times(what: Callable[[], object]) -> Callable[[], None]:
        def again() -> None:
            for _ in range(4):
                what()
                time.sleep(2)

        return again

    return {
        "nothing": lambda: None,
        f"{events} events a second": lambda: api.do("churn", rate=events, seconds=SECONDS - 2),
        "relist": lambda: api.do("relist"),
        "scrape, four times": four_times(started.scrape),
        "reload, four times": four_times(started.reload),
    }


def _peak(started: Server, queries: Path) -> float:
    found = [_asked(started, queries, 3, None) for _ in range(FLOODS)]
    return max(each.per_second for each in found)


def _phase(
    name: str, started: Server, queries: Path, rate: int, disturb: Callable[[], object]
) -> str:
    def later() -> None:
        time.sleep(0.5)
        disturb()

    drops, machine = _drops(started), _machine_drops()
    waited = processes.waited_seconds(started.pid)
    meanwhile = threading.Thread(target=later)
    meanwhile.start()
    found = _asked(started, queries, SECONDS, rate)
    meanwhile.join()
    drops, machine = _drops(started) - drops, _machine_drops() - machine
    asked = found.queries + found.lost
    waited = processes.waited_seconds(started.pid) - waited
    return (
        f"| {name} | {asked:,} | {asked / found.seconds:,.0f} | {found.lost} | {drops} | {machine}"
        f" | {found.longest_seconds * 1000:.0f} | {found.cpu_seconds:.1f} | {waited:.1f} |"
    )


def _asked(started: Server, queries: Path, seconds: float, rate: int | None) -> Spent:
    place = ("127.0.0.1", started.port, started.pid)
    # A flood waits for replies; a rate must not, or nothing could be lost.
    outstanding = OUTSTANDING if rate else 200
    return load.dnsperf(
        place,
        queries,
        seconds,
        rate=rate,
        clients=CLIENTS,
        outstanding=outstanding,
        buffer_kib=BUFFER_KIB,
    )


def _buffer(started: Server) -> str:
    found = re.search(r"^k8sdns_udp_receive_buffer_bytes.* (\S+)$", started.scrape(), re.MULTILINE)
    return f"SO_RCVBUF {float(found[1]) / 2**20:.1f} MiB" if found else "SO_RCVBUF unknown"


def _drops(started: Server) -> int:
    found = re.findall(r"^k8sdns_udp_socket_drops_total\{.* (\S+)$", started.scrape(), re.MULTILINE)
    return int(sum(map(float, found)))


def _machine_drops() -> int:
    """Return how many datagrams the kernel dropped for want of room in a receive buffer."""
    lines = [
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Udp:")
    ]
    return int(dict(zip(*lines, strict=True))["RcvbufErrors"])
