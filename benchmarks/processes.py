"""Processes: starting one on loopback, and reading from /proc what it costs.

Every process listens on 127.0.0.1 only, and is ended when its block ends. Where there are two CPUs
or more, what is measured has the first for itself and everything else the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CPUS = sorted(os.sched_getaffinity(0))
MEASURED, OTHERS = ({CPUS[0]}, set(CPUS[1:])) if len(CPUS) > 1 else (set(CPUS), set(CPUS))
PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))


def find(program: str) -> str | None:
    """Return where a program is; Debian keeps servers in /usr/sbin."""
    return shutil.which(program, path=PATH)


def free_port() -> int:
    """Return a port of loopback that is free for UDP and TCP alike."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            # Who asks an upstream holds hundreds of them for UDP.
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, all its threads, to the nanosecond."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def waited_seconds(pid: int) -> float:
    """Return how long a process was ready to run and did not, since others had its CPU."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def stolen_and_all_seconds() -> tuple[float, float]:
    """Return the CPU time that the hypervisor gave to others, and all there was."""
    ticks = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[7] / os.sysconf("SC_CLK_TCK"), sum(ticks) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(
    command: list[str], folder: Path, cpus: set[int] = MEASURED
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on `cpus` until the block ends; its log is ``server.log`` in `folder`."""
    folder.mkdir(exist_ok=True)
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        os.sched_setaffinity(process.pid, cpus)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], folder: Path, port: int, name: str = "") -> None:
    """Wait until `name` has a record, or for any reply where none is given; or raise SystemExit."""
    labels = b"".join(bytes((len(each),)) + each.encode() for each in name.split(".") if each)
    query = b"\0\7\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
        for _ in range(150):
            if process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                sock.send(query)
                reply = sock.recv(4096)
                if not name or reply[6:8] != b"\0\0":
                    return
            time.sleep(0.1)
    raise SystemExit(f"a server did not start:\n{(folder / 'server.log').read_text()[-2000:]}")
