"""``python benchmarks/reloads.py``: what a thousand reloads leave behind.

k8sdns runs under twistd with what a cluster's own Corefile has. The Corefile is written anew and
SIGHUP sent, a thousand times: each second text is good and changes what cache and forward are
told; the others are broken, in four ways in turn. The server is asked after each reload.
Prints JSON: resident memory and open file descriptors by number of reloads.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import processes

MARKS = (0, 10, 100, 250, 500, 750, 1000)
NAME = "web.shop.svc.cluster.local"
PATIENCE = 30.0  # seconds for one reload
WORKED, FAILED = b"Reloading complete", b"Restart failed"
CLUSTER = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.10.1, ports: [{port: 80}]}
"""
COREFILE = """\
.:%(port)d {
    bind 127.0.0.1
    errors
    health 127.0.0.1:%(health)d {
        lameduck 0s
    }
    ready 127.0.0.1:%(ready)d
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests %(folder)s/cluster.yaml
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
    prometheus 127.0.0.1:%(metrics)d
    forward . 127.0.0.1:%(upstream)d {
        max_concurrent %(number)d
    }
    cache %(number)d {
        disable success cluster.local
    }
    loop
    reload 1h
    loadbalance
}
"""
BROKEN = (
    ("    loop\n", "    loup\n"),
    ("ttl 30", "ttl thirty"),
    ("bind 127.0.0.1", "bind 192.0.2.77"),
    ("cluster.yaml", "nowhere.yaml"),
)


class Server:
    """A server on a Corefile that is written anew."""

    def __init__(
        self, folder: Path, process: subprocess.Popen[bytes], words: dict[str, Any]
    ) -> None:
        self.folder = folder
        self.process = process
        self._words = words

    def write(self, number: int) -> bool:
        """Write the text of reload `number`; tell whether it is a good one."""
        # What may be in the good text changes each time, so that little can be carried over.
        text = COREFILE % {**self._words, "number": 30 + number}
        is_good = number % 2 == 0
        if not is_good:
            text = text.replace(*BROKEN[number // 2 % len(BROKEN)])
        (self.folder / "Corefile").write_text(text)
        return is_good

    def said(self) -> tuple[int, int]:
        """Return how many reloads worked so far, and how many failed."""
        log = (self.folder / "server.log").read_bytes()
        return log.count(WORKED), log.count(FAILED)

    def reload(self, number: int) -> None:
        """Reload once; raises SystemExit where it ends otherwise than its text."""
        is_good = self.write(number)
        worked, failed = self.said()
        expected = (worked + is_good, failed + (not is_good))
        self.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE
        while (said := self.said()) != expected:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"reload {number}: {said} worked and failed, not {expected}")
            time.sleep(0.005)
        processes.wait_for(self.process, self.folder, self._words["port"], NAME)

    def left(self, reloads: int) -> dict[str, Any]:
        """Return what the process holds."""
        descriptors = list(Path(f"/proc/{self.process.pid}/fd").iterdir())
        rss = round(processes.rss_mib(self.process.pid), 2)
        return {"reloads": reloads, "rss_mib": rss, "descriptors": len(descriptors)}


def measure(reloads: int, folder: Path, upstream: int) -> dict[str, Any]:
    """Return what the server held at each mark."""
    ports = {each: processes.free_port() for each in ("port", "health", "ready", "metrics")}
    words = {**ports, "upstream": upstream, "folder": folder}
    (folder / "cluster.yaml").write_text(CLUSTER)
    (folder / "Corefile").write_text(COREFILE % {**words, "number": 30})
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    command += ["-n", "--pidfile=", "k8sdns", "--corefile", "Corefile"]
    with processes.running(command, folder) as process:
        processes.wait_for(process, folder, ports["port"], NAME)
        server = Server(folder, process, words)
        found = [server.left(0)]
        for number in range(1, reloads + 1):
            server.reload(number)
            if number in MARKS or number == reloads:
                found.append(server.left(number))
        worked, failed = server.said()
    return {"worked": worked, "failed": failed, "held": found}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reloads", type=int, default=1000)
    words = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream,  # takes all, answers nothing
    ):
        upstream.bind(("127.0.0.1", 0))
        print(json.dumps(measure(words.reloads, Path(folder), upstream.getsockname()[1]), indent=1))


if __name__ == "__main__":
    main()
