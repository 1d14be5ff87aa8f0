"""The two processes of `cluster`: an API server as large as asked, and k8sdns that follows it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
from processes import MEASURED, OTHERS, free_port

HERE = Path(__file__).parent


class Api:
    """The API server's process."""

    def __init__(self, sizes: dict[str, int]) -> None:
        words = [word for name, count in sizes.items() for word in (f"--{name}", str(count))]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "clusterapi.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(self._process.pid, OTHERS)
        self.url = self.answer()["url"]

    def do(self, what: str, **arguments: Any) -> dict[str, Any]:
        self.begin(what, **arguments)
        return self.answer()

    def begin(self, what: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Server:
    """k8sdns's process; `probed` with the probe of the event loop."""

    def __init__(self, folder: Path, options: list[str], *, probed: bool = False) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self._gaps = folder / "gaps.json"
        corefile = folder / "Corefile"
        lines = "".join(f"        {option}\n" for option in options)
        corefile.write_text(
            f".:{self.port} {{\n    bind 127.0.0.1\n    errors\n    loadbalance\n"
            f"    prometheus 127.0.0.1:{self.metrics_port}\n"
            f"    kubernetes cluster.local in-addr.arpa {{\n{lines}    }}\n}}\n"
        )
        twistd = ["-n", "--pidfile=", "k8sdns", "--grace", "0", "--corefile", str(corefile)]
        start = (
            [str(HERE / "gapserver.py"), str(self._gaps)]
            if probed
            else ["-c", "from twisted.scripts.twistd import run; run()"]
        )
        self._log = (folder / "log").open("w")
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *start, *twistd], stdout=self._log, stderr=self._log
        )
        self.pid = self._process.pid
        os.sched_setaffinity(self.pid, MEASURED)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", self.port))
        self._socket.settimeout(0.05)

    def ask(self, name: str, qtype: str = "A") -> dns.message.Message | None:
        query = dns.message.make_query(name, qtype)
        with contextlib.suppress(OSError):
            self._socket.send(query.to_wire())
            while True:
                reply = dns.message.from_wire(self._socket.recv(65535))
                if reply.id == query.id:
                    return reply
        return None

    def until(self, name: str, rcode: int = dns.rcode.NOERROR, seconds: float = 120) -> float:
        """Wait for that RCODE; return when it came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            reply = self.ask(name)
            if reply is not None and reply.rcode() == rcode:
                return time.monotonic()
            time.sleep(0.01)
        raise SystemExit(f"{name} was never {dns.rcode.to_text(rcode)}")

    def reload(self) -> None:
        """Have the Corefile read again."""
        self._process.send_signal(signal.SIGHUP)

    def scrape(self) -> str:
        """Return the metrics."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            text: str = page.read().decode()
        return text

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def mib(self, what: str) -> float:
        """Return VmHWM (peak) or VmRSS (now) in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+)", status)
        return int(found[1]) / 1024 if found else 0.0

    def gaps(self) -> dict[str, Any]:
        """Return what the probe saw since the last time."""
        self._gaps.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR2)
        while not self._gaps.exists():
            time.sleep(0.05)
        seen: dict[str, Any] = json.loads(self._gaps.read_text())
        return seen

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._socket.close()
        self._log.close()


@contextlib.contextmanager
def server(options: list[str], *, probed: bool = False) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        started = Server(Path(folder), options, probed=probed)
        try:
            yield started
        finally:
            started.stop()
