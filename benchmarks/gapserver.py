"""k8sdns under twistd, with a probe of the event loop: how late a timer of 1 ms comes.

``gapserver.py FILE ARGUMENTS-OF-TWISTD``; with UNSETTLED in the environment the garbage collector
is left as Python has it. SIGUSR2 writes what was seen since the last time to FILE
as JSON: the number of ticks, and every gap of more than half a millisecond in milliseconds; `work`
is how much of each the process itself spent, which says more on a busy machine.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

from twisted.internet import reactor as global_reactor  # noqa: TID251 - a program of its own
from twisted.scripts.twistd import run

from k8sdns.collecting import Collector

reactor: Any = global_reactor
TICK = 0.001
WORTH_NOTING = 0.0005


class Probe:
    """Ticks, and notes how late each tick was."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ticks = 0
        self.gaps: list[float] = []
        self.work: list[float] = []
        self.due = self.spent = 0.0

    def start(self) -> None:
        signal.signal(signal.SIGUSR2, self.tell)
        self.spent = time.thread_time()
        self.arm()

    def arm(self) -> None:
        self.due = reactor.seconds() + TICK
        reactor.callLater(TICK, self.tick)

    def tick(self) -> None:
        late = reactor.seconds() - self.due
        spent = time.thread_time()
        work, self.spent = spent - self.spent, spent
        self.ticks += 1
        if work > WORTH_NOTING:
            self.work.append(round(work * 1000, 2))
        if late > WORTH_NOTING:
            self.gaps.append(round(late * 1000, 2))
        self.arm()

    def tell(self, *_: object) -> None:
        seen = {"ticks": self.ticks, "gaps": self.gaps, "work": self.work}
        self.ticks, self.gaps, self.work = 0, [], []
        with open(self.path + ".new", "w") as file:
            json.dump(seen, file)
        os.replace(self.path + ".new", self.path)


if __name__ == "__main__":
    if os.environ.get("UNSETTLED"):
        Collector.settle = lambda _: None  # type: ignore[method-assign]
    probe = Probe(sys.argv.pop(1))
    reactor.callWhenRunning(probe.start)
    run()
