"""``python benchmarks/churn.py``: an hour of changes and faults, and whether the answers stay true.

The API server is `churnapi`, in a process of its own: it changes all the time, and fails in every
way it knows. k8sdns runs under twistd and is asked all the while. Every two minutes the changes
pause, and every name that exists or did is asked for, and the zone transferred: whatever differs
from what the API server's objects say is a difference. At the end the watches fall silent on
purpose: that has to show as differences, and the audit has to heal them.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import churnreport
import churntruth
import processes
from churnserver import Server, started

HERE = Path(__file__).parent
ASKED = 40  # questions a second between checkpoints
BURST = 10  # times the rate, five seconds a minute
AGREE_WITHIN = 150.0  # a pause of a minute, and a request that is never answered
HEALED_WITHIN = 240.0
KINDS = (
    "cut_watches", "end_watches", "cut_in_an_event", "gone", "cut_list", "throttled",
    "unavailable", "internal_error", "bad_gateway", "half_open", "half_open_list", "restart",
    "restore", "broken_object", "mended_objects", "repeated_events", "late_events", "old_bookmark",
    "no_bookmarks", "short_watches",
)  # fmt: skip
LATER_KINDS = ("no_watch_list", "endless_watch_list")
"""In the second half: after these, k8sdns lists plainly for an hour."""


class Api:
    """The API server's process."""

    def __init__(self, services: int, seed: int) -> None:
        words = ["--services", str(services), "--seed", str(seed)]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "churnapi.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._answer()["url"]

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


class Run:
    """One run: time, changes, faults, checkpoints."""

    def __init__(self, api: Api, server: Server, options: argparse.Namespace) -> None:
        self.api, self.server, self.options = api, server, options
        self.draw = random.Random(options.seed + 1)
        self.began = time.monotonic()
        self.faults: Counter[str] = Counter()
        self.checkpoints: list[dict[str, Any]] = []
        self.samples: list[tuple[float, float, float]] = []
        self._bag: list[str] = []
        self._next_sample = 0.0

    @property
    def minutes(self) -> float:
        """Since the beginning."""
        return (time.monotonic() - self.began) / 60

    def whole(self) -> None:
        """Churn and check until the time is over, with full tables from the beginning."""
        self.server.fill(self.options.fill)
        self.began = time.monotonic()
        print(json.dumps({"filled": self.server.tables()}), flush=True)
        names = [(row[0], row[1]) for row in self.api.do("truth")["rows"]]
        while self.minutes < self.options.minutes:
            self._churn(names)
            self._checkpoint()
            rows = self.api.do("truth")["rows"]
            names = [(row[0], row[1]) for row in rows]
            if len(self.checkpoints) % 5 == 0:
                self.faults["reload"] += 1
                self.server.process.send_signal(signal.SIGHUP)

    def _churn(self, names: list[tuple[str, str]]) -> None:
        """Change, fail and ask; for the last quarter of the time nothing fails."""
        began, lasts = time.monotonic(), self.options.every
        burst_at = self.draw.uniform(0, lasts * 0.7)
        fault_at, rate = 0.0, 0.0
        while (passed := time.monotonic() - began) < lasts:
            is_burst = burst_at <= passed < burst_at + min(10.0, lasts / 12)
            wanted = self.options.rate * (BURST if is_burst else 1)
            if wanted != rate:
                rate = wanted
                self.api.do("churn", rate=rate)
            if passed >= fault_at and passed < lasts * 0.75:
                fault_at = passed + self.draw.uniform(0.5, 1.5) * self.options.fault_every
                self._fail()
            self.server.glance(*self.draw.choice(names))
            self._sample()
            time.sleep(1 / ASKED)

    def _fail(self) -> None:
        is_later = self.minutes > self.options.minutes / 2
        if not self._bag:  # every kind comes before any comes again
            chosen = self.options.faults
            everything = [*KINDS, *(LATER_KINDS if is_later else ())]
            self._bag = chosen.split(",") if chosen else everything
            self.draw.shuffle(self._bag)
        kind = self._bag.pop()
        if self.api.do("fault", kind=kind)["did"]:
            self.faults[kind] += 1

    def _sample(self) -> None:
        if time.monotonic() >= self._next_sample:
            self._next_sample = time.monotonic() + min(15.0, self.options.every / 4)
            pid = self.server.process.pid
            spent = processes.cpu_seconds(pid)
            self.samples.append((self.minutes, processes.rss_mib(pid) * 1024, spent))

    def _checkpoint(self) -> None:
        self.api.do("churn", rate=0)
        self.api.do("calm")
        time.sleep(1)  # namespaces that are being deleted are gone after half of it
        rows = self.api.do("truth")["rows"]
        waited, differing = self._agree(rows, AGREE_WITHIN)
        if not differing:
            self.api.do("settled")
        transfer = self.server.transferred() ^ churntruth.transferred(rows)
        self._sample()
        point = {
            "minute": round(self.minutes, 2),
            "questions": len(rows),
            "differences": len(differing),
            "transfer_differences": len(transfer),
            "agreed_after_s": round(waited, 2),
            "rss_kib": processes.rss_mib(self.server.process.pid) * 1024,
            "tables": self.server.tables(),
            **self.server.figures(),
        }
        self.checkpoints.append(point)
        print(json.dumps(point), flush=True)
        for row, said in differing[:10]:
            print(f"    {row}: {said}", flush=True)
        for pair in sorted(transfer)[:10]:
            print(f"    transfer: {pair}", flush=True)

    def _agree(self, rows: list[churntruth.Row], seconds: float) -> tuple[float, list[Any]]:
        """Ask for everything until nothing differs; return how long that took, and what is left."""
        began = time.monotonic()
        while True:
            at = time.monotonic() - began
            differing = self.server.differing(rows)
            if not differing or at > seconds:
                return at, differing
            time.sleep(1)

    def control(self, *, heal: bool) -> dict[str, float]:
        """Show that a lost event is seen here, and that the audit heals it."""
        before = self.server.figures()["drift"]
        self.api.do("silence")
        self.api.do("churn", rate=100)
        time.sleep(1)
        self.api.do("churn", rate=0)
        time.sleep(1)
        rows = self.api.do("truth")["rows"]
        seen: dict[str, float] = {"differences": len(self.server.differing(rows))}
        if heal:
            waited, differing = self._agree(rows, HEALED_WITHIN)
            seen |= {"left": len(differing), "healed_after_s": round(waited, 1)}
            time.sleep(2)  # the audit counts a second after it has healed
            seen["drift"] = self.server.figures()["drift"] - before
        return seen


def main() -> int:
    """Run, print, and write JSON; the exit status is 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--fault-every", type=float, default=10, help="seconds, on average")
    parser.add_argument("--rate", type=float, default=50, help="changes a second")
    parser.add_argument("--services", type=int, default=400)
    parser.add_argument("--fill", type=int, default=20_000, help="names asked for first, twice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", help="these kinds only, separated by commas")
    parser.add_argument("--no-heal", action="store_true", help="do not wait for the audit")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    api = Api(options.services, options.seed)
    try:
        with tempfile.TemporaryDirectory() as folder, started(Path(folder), api.url) as server:
            run = Run(api, server, options)
            run.whole()
            control = run.control(heal=not options.no_heal)
            restarts = 0 if server.process.poll() is None else 1
            api_cpu = processes.cpu_seconds(api.process.pid)
            result = churnreport.result(run, api.do("counts"), control, restarts, api_cpu)
            log = (Path(folder) / "server.log").read_text()
            result["errors_logged"] = log.count("Traceback")
            if options.json:
                options.json.write_text(json.dumps(result, indent=1) + "\n")
                options.json.with_suffix(".log").write_text(log)
    finally:
        api.process.kill()
        api.process.wait()
    print("\n".join(churnreport.tables(result)))
    return 1 if result["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
