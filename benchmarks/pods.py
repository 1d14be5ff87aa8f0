"""A server of one process or several: started on loopback, its processes, what they take."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import processes
from processes import CPUS
from quotas import Group

EXAMPLES = f"manifests {Path(__file__).parents[1] / 'examples' / 'cluster'}"


def _free_port() -> int:
    for _ in range(20):
        with contextlib.suppress(OSError):  # free for TCP, and not for UDP
            return processes.free_port()
    raise SystemExit("no free port")


class Pod:
    """A server of some workers on `cpus`, and its processes by name."""

    def __init__(
        self,
        folder: Path,
        kubernetes: str,
        workers: int,
        *,
        more: str = "",
        within: Group | None = None,
        cpus: set[int] | None = None,
    ) -> None:
        self.port, self.ready, self.metrics = _free_port(), _free_port(), _free_port()
        corefile = folder / "Corefile"
        corefile.write_text(
            f".:{self.port} {{\n    bind 127.0.0.1\n    multisocket {workers}\n    errors\n"
            f"    ready 127.0.0.1:{self.ready}\n"
            f"    prometheus 127.0.0.1:{self.metrics}\n"
            f"    kubernetes cluster.local in-addr.arpa {{\n        {kubernetes}\n    }}\n"
            f"    loadbalance\n    cache\n    {more}\n}}\n"
        )
        run = "from twisted.scripts.twistd import run; run()"
        command = [sys.executable, "-c", run, "-n", "--pidfile=", "k8sdns", "--grace", "0"]
        self.log = folder / "log"

        def put() -> None:
            os.sched_setaffinity(0, cpus or set(CPUS))
            if within is not None:
                within.take(os.getpid())

        with self.log.open("w") as log:
            self.began = time.monotonic()
            self._process = subprocess.Popen(
                [*command, "--corefile", str(corefile)],
                stdout=log,
                stderr=log,
                preexec_fn=put,  # noqa: PLW1509 - no threads
            )

    @property
    def address(self) -> tuple[str, int, int]:
        """Where it is, and its first process: what `load` takes as a server."""
        return "127.0.0.1", self.port, self._process.pid

    def until_ready(self, seconds: float = 180) -> float:
        """Wait until /ready says so; return after how many seconds that was."""
        while time.monotonic() < self.began + seconds:
            with contextlib.suppress(OSError):
                if self.page(self.ready, "ready", 5) == b"OK":
                    return time.monotonic() - self.began
            time.sleep(0.05)
        raise SystemExit(f"never ready:\n{self.log.read_text()[-2000:]}")

    def page(self, port: int, path: str, timeout: float = 10) -> bytes:
        """Return one of its pages."""
        url = f"http://127.0.0.1:{port}/{path}"
        with urllib.request.urlopen(url, timeout=timeout) as page:
            octets: bytes = page.read()
            return octets

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

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return sum(processes.cpu_seconds(pid) for _, pid in self.pids())

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
def pod(
    kubernetes: str,
    workers: int,
    *,
    more: str = "",
    within: Group | None = None,
    cpus: set[int] | None = None,
) -> Iterator[Pod]:
    """Run a server until the block ends; `more` are further lines of its block."""
    with tempfile.TemporaryDirectory() as folder:
        started = Pod(Path(folder), kubernetes, workers, more=more, within=within, cpus=cpus)
        try:
            yield started
        finally:
            started.stop()


def mib(pid: int, what: str) -> float:
    """Return a figure of a process's memory (``Pss``, ``Private_Dirty`` ..., proc(5))."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = next(line for line in rollup.splitlines() if line.startswith(f"{what}:"))
    return int(found.split()[1]) / 1024
