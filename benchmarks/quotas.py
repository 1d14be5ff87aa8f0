"""Control groups with a CPU quota (version 1 or 2), which only root can make."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

PERIOD = 100_000  # microseconds, the kernel's own and that of Kubernetes
GROUPS = Path("/sys/fs/cgroup")
PARENT = GROUPS / "cpu" if (GROUPS / "cpu" / "cpu.cfs_quota_us").exists() else GROUPS


def why_not() -> str:
    """Return why no group can be made here, "" where one can."""
    if not os.access(PARENT, os.W_OK):
        return f"{PARENT} cannot be written to: be root, outside of a container"
    if PARENT == GROUPS and "cpu" not in _words(GROUPS / "cgroup.subtree_control"):
        return f"{GROUPS} gives no cpu controller to its groups"
    return ""


def _words(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text().split()
    return []


class Group:
    """A control group that may use a share of one CPU."""

    def __init__(self, name: str, share: float) -> None:
        self._path = PARENT / f"k8sdns-{os.getpid()}-{name}"
        self._path.mkdir()
        quota = round(share * PERIOD)
        if PARENT != GROUPS:
            (self._path / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self._path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self._path / "cpu.max").write_text(f"{quota} {PERIOD}")

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
def group(name: str, share: float) -> Iterator[Group]:
    """Have a control group until the block ends."""
    made = Group(name, share)
    try:
        yield made
    finally:
        made.remove()
