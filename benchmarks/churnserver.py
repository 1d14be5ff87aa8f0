"""k8sdns as `churn` runs it: under twistd, following an API server; and what it says."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import churntruth
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import processes

HERE = Path(__file__).parent
# The transfer has a block of its own: in one with `transfer` no reply is ever given again, and
# most clusters have none.
COREFILE = """\
(cluster) {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint {url}
        startup_timeout 30s
        audit 1m
    }}
}}
.:{port} {{
    import cluster
    prometheus 127.0.0.1:{metrics}
    cache 30
    reload
    loadbalance
}}
.:{transfers} {{
    import cluster
    transfer {{
        to 127.0.0.1
    }}
}}
"""


class Server:
    """k8sdns: its process, and what it says."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ports: dict[str, int],
        tables: Path,
    ) -> None:
        self.process, self.port, self._ports = process, ports["port"], ports
        self._tables = tables
        self.said: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", self.port))
        self._socket.settimeout(1.0)

    def ask(self, name: str, qtype: str) -> tuple[str, list[str]]:
        """Return (RCODE, sorted records); ("no answer", []) where none came within a second."""
        query = dns.message.make_query(name, qtype, use_edns=0, payload=4096)
        with contextlib.suppress(OSError):
            self._socket.send(query.to_wire())
            while True:
                reply = dns.message.from_wire(self._socket.recv(65535))
                if reply.id == query.id:
                    break
            if reply.flags & dns.flags.TC:
                reply = dns.query.tcp(query, "127.0.0.1", port=self.port, timeout=2)
            wanted = dns.rdatatype.from_text(qtype)
            found = [str(x) for rrset in reply.answer if rrset.rdtype == wanted for x in rrset]
            return dns.rcode.to_text(reply.rcode()), sorted(found)
        return "no answer", []

    def fill(self, names: int) -> None:
        """Ask for so many names twice: tables that grow with questions are full after 20,000."""
        for number in range(names):
            for _ in range(2):
                self.ask(f"nobody-{number}.n1.svc.cluster.local", "A")

    def tables(self) -> dict[str, int]:
        """Return how full its tables are (see `tableserver`)."""
        self._tables.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        while not self._tables.exists():
            time.sleep(0.02)
        sizes: dict[str, int] = json.loads(self._tables.read_text())
        return sizes

    def glance(self, name: str, qtype: str) -> None:
        """Ask, and count what was said."""
        self.said[self.ask(name, qtype)[0]] += 1

    def differing(self, rows: list[churntruth.Row]) -> list[tuple[churntruth.Row, Any]]:
        """Return the questions that are answered otherwise than in `rows`, with the answers."""
        asked = ((row, self.ask(row[0], row[1])) for row in rows)
        return [(row, said) for row, said in asked if said != (row[2], sorted(row[3]))]

    def transferred(self) -> set[tuple[str, str]]:
        """Return the (name, address) pairs of the Services in a transfer of the zone."""
        found = set()
        port = self._ports["transfers"]
        parts = dns.query.xfr("127.0.0.1", churntruth.ZONE, port=port, relativize=False)
        for message in parts:
            for rrset in message.answer:
                name = rrset.name.to_text()
                if rrset.rdtype == dns.rdatatype.A and name.count(".") == 5:
                    found |= {(name, str(each)) for each in rrset}
        return found

    def figures(self) -> dict[str, float]:
        """Return what the metrics say: drift in all, and the greatest lag."""
        url = f"http://127.0.0.1:{self._ports['metrics']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            text = page.read().decode()
        values = {
            name: [
                float(value) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE)
            ]
            for name in ("k8sdns_store_drift_total", "k8sdns_store_lag_seconds")
        }
        drift, lag = values.values()
        return {"drift": sum(drift), "lag_s": round(max(lag), 1)}


@contextlib.contextmanager
def started(folder: Path, url: str) -> Iterator[Server]:
    """Run k8sdns."""
    ports = {name: processes.free_port() for name in ("port", "metrics", "transfers")}
    corefile = folder / "Corefile"
    corefile.write_text(COREFILE.format(url=url, **ports))
    tables = folder / "tables.json"
    command = [sys.executable, str(HERE / "tableserver.py"), str(tables), "-n"]
    command += ["--pidfile=", "k8sdns", "--corefile", str(corefile)]
    everywhere = set(processes.CPUS)
    with processes.running(command, folder, everywhere) as process:
        processes.wait_for(process, folder, ports["port"], "s1.n1.svc.cluster.local")
        yield Server(process, ports, tables)
