"""Load by dnsperf, and what a server spent on it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from processes import cpu_seconds


class Spent(NamedTuple):
    """One round of load against one server."""

    queries: int
    lost: int
    seconds: float
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """Queries answered a second of the server's CPU."""
        return self.queries / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def microseconds(self) -> float:
        """CPU microseconds a query."""
        return 1e6 / self.per_cpu_second


def has_tools() -> list[str]:
    """Return the Debian packages that are missing."""
    path = "/usr/sbin:/usr/bin:/bin"
    return [tool for tool in ("dnsperf", "unbound") if not shutil.which(tool, path=path)]


def dnsperf(
    port: int,
    pid: int,
    queries: Path,
    seconds: int = 5,
    *,
    rate: int | None = None,
    outstanding: int = 200,
    clients: int = 20,
) -> Spent:
    """Ask for `seconds`, flat out or at `rate` a second, from `clients` sockets."""
    command = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", str(queries)]
    command += ["-l", str(seconds), "-c", str(clients), "-q", str(outstanding), "-t", "2", "-W"]
    if rate:
        command += ["-Q", str(rate)]
    before = cpu_seconds(pid)
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    after = cpu_seconds(pid)
    found = re.search(r"Queries completed:\s+(\d+)", run.stdout)
    lost = re.search(r"Queries lost:\s+(\d+)", run.stdout)
    if not found:
        raise SystemExit(f"dnsperf failed: {run.stderr or run.stdout}")
    return Spent(int(found[1]), int(lost[1]) if lost else 0, seconds, after - before)
