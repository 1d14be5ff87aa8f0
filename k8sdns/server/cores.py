"""How many processes this machine, or what a container leaves of it, has room for.

Owns the reading of affinity and control groups (cgroups(7), versions 1 and 2). Refuses to know what
the processes do.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

# Measured with 10,000 Services and 100,000 endpoints, and rounded up (docs/design/processes.md).
PROCESS_OCTETS: Final = 64 * 1024 * 1024  # a worker
BASE_OCTETS: Final = 128 * 1024 * 1024  # everything else
_NO_LIMIT: Final = 1 << 60  # version 1 writes a number near the largest for no limit

CGROUP: Final = Path("/sys/fs/cgroup")


def worthwhile_processes(root: Path = CGROUP) -> int:
    """Return how many workers can run at once: by CPUs, by their quota, by memory; at least 1."""
    cpus = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    memory = _memory_limit(root)
    if quota is not None:
        cpus = min(cpus, math.ceil(quota))
    if memory is not None:
        cpus = min(cpus, (memory - BASE_OCTETS) // PROCESS_OCTETS)
    return max(cpus, 1)


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Return the CPUs that the control group may use at once, None for no limit."""
    quota, period = "", ""
    text = _text(root / "cpu.max")
    if text:
        quota, period, *_ = [*text.split(), ""]
    else:
        quota = _text(root / "cpu" / "cpu.cfs_quota_us")
        period = _text(root / "cpu" / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit() or period == "0":
        return None
    return int(quota) / int(period)


def _memory_limit(root: Path) -> int | None:
    """Return the octets of memory that the control group may use, None for no limit."""
    text = _text(root / "memory.max") or _text(root / "memory" / "memory.limit_in_bytes")
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
