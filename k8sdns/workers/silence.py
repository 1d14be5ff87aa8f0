"""Whether a process that says nothing hangs, or is kept from its work.

Owns the judgement. Time is counted in looks of the parent, so that a parent that was kept from
looking blames nobody; and a silent process that wants to run and is not let (a CPU quota, a busy
machine) is waited for longer than one that sleeps, is stopped, or runs in circles.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NamedTuple

LOOK_EVERY: Final = 0.2  # seconds
HANGS_AFTER: Final = 4  # looks without a word: 0.8 to 1 s
STARVES_UNTIL: Final = 50  # looks: the longest that a process is waited for
STARTS_WITHIN: Final = 150  # looks until the first word
BUSY_SECONDS: Final = 0.4  # of CPU time without a word: it runs in circles

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Doing(NamedTuple):
    """What the kernel says of a process: its state (proc(5)), and the seconds of CPU it has had."""

    state: str
    cpu_seconds: float


def doing(pid: int) -> Doing:
    """Look at a process; one that is not there has state ``X``."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return Doing("X", 0.0)
    return Doing(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS)


class Silence:
    """How long one process has been silent; `look` is asked of it every `LOOK_EVERY` seconds."""

    def __init__(self, look: Callable[[int], Doing] = doing) -> None:
        self._look = look
        self._looks = 0
        self._has_spoken = False
        self._cpu_seconds = 0.0

    def broken(self) -> None:
        """It said something."""
        self._looks = 0
        self._has_spoken = True

    def is_too_long(self, pid: int) -> bool:
        """Count one look; tell whether the process is to be given up."""
        self._looks += 1
        if not self._has_spoken:
            return self._looks > STARTS_WITHIN
        if self._looks == 2:
            self._cpu_seconds = self._look(pid).cpu_seconds
        if self._looks <= HANGS_AFTER:
            return False
        return self._looks > STARVES_UNTIL or not self._is_starved(pid)

    def _is_starved(self, pid: int) -> bool:
        state, cpu_seconds = self._look(pid)
        return state == "R" and cpu_seconds - self._cpu_seconds < BUSY_SECONDS
