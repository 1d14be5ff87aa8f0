"""``make bench``: every server with the same names in one run, in turn. ``--help`` says more."""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apiserver
import load
import plots
import processes
import servers
import workloads
from results import Results, Series, tables
from servers import Server, Surroundings
from workloads import Workload

DEAD_WAITING = 5_000  # questions that wait for a dead upstream ...
DEAD_RATE = 2_000  # ... while so many a second ask for cluster names
DEAD_SECONDS = 8.0  # from before a crowd comes until all of it was given up


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python benchmarks",
        description="Queries per CPU-second of k8sdns, beside other servers in the same run.",
    )
    made.add_argument(
        "workloads", nargs="*", help=f"of {', '.join(w.name for w in workloads.ALL)}; default all"
    )
    made.add_argument("--quick", action="store_true", help="one short round: does it run at all?")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=2.0, help="of one round")
    made.add_argument("--only", default="", help=f"servers, of {','.join(servers.KNOWN)}")
    made.add_argument(
        "--parts", default="flat,changes,rates,latency,dead", help="what to measure (default: all)"
    )
    made.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="NAME=IP:PORT,PID",
        help="a further server, running on loopback; see --api-port and --upstream-port",
    )
    made.add_argument("--api-port", type=int, help="where the cluster's API server listens")
    made.add_argument("--upstream-port", type=int, help="where outside names are answered")
    made.add_argument("--json", type=Path, metavar="FILE", help="write every round there")
    made.add_argument("--plots", type=Path, metavar="FOLDER", help="draw SVG there")
    return made


@contextlib.contextmanager
def started(options: argparse.Namespace) -> Iterator[tuple[dict[str, Server], int, Surroundings]]:
    """Start everything. Yields the servers, the pid of the API server, and what is around them."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, api_pid = stack.enter_context(apiserver.running(folder / "api", options.api_port))
        certificate, key = certify(folder)
        port = options.upstream_port or processes.free_port()
        asked = {each.name for each in workloads.chosen(options.workloads)}
        around = Surroundings(folder, url, port, certificate, key, "uncached-listed" in asked)
        stack.enter_context(servers.unbound(around, servers.UPSTREAM, port, processes.OTHERS))
        words = [word for word in options.only.split(",") if word] or list(servers.KNOWN)
        found = {}
        for word in words:
            if word == "dnsmasq" and not processes.find("dnsmasq"):
                print("dnsmasq is not installed, and left out", file=sys.stderr)
                continue
            found[word] = stack.enter_context(servers.KNOWN[word](around))
        for text in options.server:
            server = servers.further(text)
            found[server.name] = server
        yield found, api_pid, around


def certify(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for DNS over TLS, signed by itself."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class Bench:
    """One run over the servers."""

    def __init__(self, folder: Path, found: dict[str, Server], options: argparse.Namespace) -> None:
        self.results = Results()
        self._folder = folder
        self._servers = found
        self._rounds: int = options.rounds
        self._seconds: float = options.seconds

    def measure(
        self,
        workload: Workload,
        asked: list[Server],
        *,
        rates: tuple[int | None, ...] = (None,),
        with_changes: bool = False,
        is_latency: bool = False,
    ) -> list[Series]:
        """Load every server in turn, round after round."""
        rows = [
            Series(workload.name, server.name, rate, with_changes, is_latency)
            for rate in rates
            for server in asked
        ]
        places = {server.name: server for server in asked}
        for number in range(self._rounds):
            for row in rows:
                self._say(row, number)
                row.rounds.append(self._round(workload, places[row.server], row))
        self.results.series += rows
        return rows

    def _round(
        self, workload: Workload, server: Server, row: Series, least_seconds: float = 0
    ) -> load.Spent:
        queries = load.write_queries(self._folder / "queries.txt", workload.lines())
        port = server.tls_port if workload.mode == "dot" else server.port
        place = (server.host, port or server.port, server.pid)
        if workload.mode == "retry":
            return load.retries(place, queries, self._seconds)
        return load.dnsperf(
            place,
            queries,
            max(self._seconds, least_seconds),
            mode=workload.mode,
            rate=row.rate,
            clients=workload.clients,
            latencies=row.is_latency,
        )

    def _say(self, row: Series, number: int) -> None:
        rate = f" at {row.rate:,}/s" if row.rate else ""
        changes = " while endpoints change" if row.with_changes else ""
        line = f"{row.workload}{rate}{changes}: {row.server}, round {number + 1}"
        print(f"{line:<79}", end="\r", file=sys.stderr, flush=True)

    def flat(self, chosen: list[Workload]) -> None:
        """Every workload, flat out."""
        for workload in chosen:
            self.measure(workload, [s for s in self._servers.values() if workload.suits(s)])

    def changes(self, chosen: list[Workload], api_pid: int) -> None:
        """The same while endpoints change, of those who hear of it."""
        asked = [server for server in self._servers.values() if server.has_cluster]
        os.kill(api_pid, workloads.CHANGES_ON)
        try:
            for server in asked:
                cost = load.idle(server.pid, self._seconds)
                changes = apiserver.CHANGES * self._seconds
                self.results.notes[f"CPU us a change, {server.name}"] = 1e6 * cost / changes
            for workload in chosen:
                suited = [server for server in asked if workload.suits(server)]
                self.measure(workload, suited, with_changes=True)
        finally:
            os.kill(api_pid, workloads.CHANGES_OFF)

    def rates(self, chosen: list[Workload]) -> None:
        """What a query costs where few are asked."""
        for workload in chosen:
            if workload.rates:
                asked = [server for server in self._servers.values() if workload.suits(server)]
                self.measure(workload, asked, rates=workload.rates)

    def latency(self, chosen: list[Workload]) -> None:
        """Waiting times of all at one rate: half of what k8sdns manages flat out."""
        for workload in chosen[:1]:
            peak = self.results.find(
                workload=workload.name, server="k8sdns", rate=None, with_changes=False
            )
            asked = [server for server in self._servers.values() if workload.suits(server)]
            rate = round(peak[0].per_second / 2, -3) if peak else 10_000
            self._rounds = max(self._rounds, 5)
            self.measure(workload, asked, rates=(int(rate),), is_latency=True)

    def dead(self, around: Surroundings) -> None:
        """Waiting times of cluster names, while questions wait for an upstream that is dead."""
        mix, outside = workloads.chosen(["mix,uncached"])
        crowd = f"k8sdns, {DEAD_WAITING:,}"
        calm, busy, crowded = (
            Series("mix", server, DEAD_RATE, is_latency=True)
            for server in ("k8sdns, calm", f"{crowd} wait in vain", f"{crowd} come at once in vain")
        )
        with servers.k8sdns_without_upstream(around) as server:
            place = (server.host, server.port, server.pid)
            queries = load.write_queries(self._folder / "outside.txt", outside.lines())
            for number in range(self._rounds):
                self._say(calm, number)
                calm.rounds.append(self._round(mix, server, calm))
                self._say(busy, number)
                with load.waiting(place, queries, DEAD_WAITING):
                    busy.rounds.append(self._round(mix, server, busy))
                self._say(crowded, number)
                with load.crowding(place, queries, DEAD_WAITING):
                    crowded.rounds.append(self._round(mix, server, crowded, DEAD_SECONDS))
        self.results.series += [calm, busy, crowded]


def main() -> None:
    """Measure, and print the tables."""
    options = parser().parse_args()
    missing = load.missing_tools()
    if missing:
        raise SystemExit(f"this needs Debian's {' and '.join(missing)}: apt-get install them")
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
        options.workloads = options.workloads or ["mix,unique,headless-100,uncached,tcp-20"]
        options.parts = "flat,changes"
    chosen = workloads.chosen(options.workloads)
    parts = options.parts.split(",")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with started(options) as (found, api_pid, around), tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), found, options)
        measure: dict[str, Callable[[], None]] = {
            "flat": lambda: bench.flat(chosen),
            "changes": lambda: bench.changes(chosen, api_pid),
            "rates": lambda: bench.rates(chosen),
            "latency": lambda: bench.latency(chosen),
            "dead": lambda: bench.dead(around),
        }
        for part in parts:
            if part not in measure:
                raise SystemExit(f"no part is called {part!r}: {', '.join(measure)}")
            measure[part]()
            if options.json:  # what is measured is measured, whatever happens to the rest
                bench.results.write(options.json)
    print(" " * 79, end="\r", file=sys.stderr)
    print("\n".join(tables(bench.results)))
    if options.plots:
        plots.draw(bench.results, options.plots)


if __name__ == "__main__":
    main()
