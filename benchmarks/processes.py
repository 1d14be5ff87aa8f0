"""Servers under test: starting them on loopback, and reading what they cost.

Every server listens on 127.0.0.1 only, and is ended when its block ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import names

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that is free for UDP and TCP."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return int(tcp.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[int]:
    """Run a server until the block ends; yields its pid once it answers on `port`."""
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            _wait_until_it_answers(process, port, folder)
            yield process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0\5ready\7invalid\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        for _ in range(100):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                sock.send(query)
                sock.recv(512)
                return
            time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{(folder / 'server.log').read_text()[-2000:]}")


STOCK_COREFILE = """\
.:{port} {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {manifests}
    }}
    loadbalance
}}
"""


@contextlib.contextmanager
def k8sdns(folder: Path, corefile: str = STOCK_COREFILE) -> Iterator[tuple[int, int]]:
    """Serve the cluster as users start k8sdns: twistd and a Corefile. Yields (port, pid)."""
    port = free_port()
    manifests = folder / "cluster.json"
    names.write_manifests(manifests)
    (folder / "Corefile").write_text(corefile.format(port=port, manifests=manifests))
    twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or "twistd"
    command = [twistd, "-n", "--pidfile=", "k8sdns", "--corefile", "Corefile"]
    with running(command, port, folder) as pid:
        yield port, pid


@contextlib.contextmanager
def unbound(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve the same names as Unbound's local-data, one thread."""
    port = free_port()
    data = "\n    ".join(names.unbound_data())
    (folder / "unbound.conf").write_text(f"""\
server:
    interface: 127.0.0.1
    port: {port}
    num-threads: 1
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    so-rcvbuf: 4m
    access-control: 127.0.0.0/8 allow
    {data}
remote-control:
    control-enable: no
""")
    program = shutil.which("unbound", path=os.environ["PATH"] + ":/usr/sbin") or "unbound"
    with running([program, "-d", "-c", "unbound.conf"], port, folder) as pid:
        yield port, pid


@contextlib.contextmanager
def bare_loop(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve nothing: a Python loop that sends every datagram back. The floor."""
    port = free_port()
    program = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)\n"
        f"s.bind(('127.0.0.1', {port}))\n"
        "receive, send = s.recvfrom, s.sendto\n"
        "while True:\n"
        "    message, address = receive(4096)\n"
        "    send(message[:2] + b'\\x81' + message[3:], address)\n"
    )
    with running([sys.executable, "-c", program], port, folder) as pid:
        yield port, pid
