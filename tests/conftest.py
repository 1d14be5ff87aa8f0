"""What every test may ask for: tools, a running server, hypothesis's budget.

`needs` skips a test whose tool is missing; with CI set it fails instead, so that nothing goes
unchecked unseen.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest
from hypothesis import settings

IN_CI = bool(os.environ.get("CI"))
DEADLINE = 30.0  # seconds that a program of a test may take to start or to end

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.load_profile("ci" if IN_CI else "dev")


@pytest.fixture
def needs() -> Callable[[str], str]:
    """`needs("dig")` returns the tool's path; without it the test is skipped, or fails in CI."""

    def find(tool: str) -> str:
        path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if path is None:
            reason = f"{tool} is not installed"
            if IN_CI:
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free for UDP and TCP on the loopback address `host`.

    Below those that the system gives to clients: one of those may be taken before it is used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = random.randrange(12_000, 32_000)
        with (
            socket.socket(family, socket.SOCK_DGRAM) as udp,
            socket.socket(family, socket.SOCK_STREAM) as tcp,
        ):
            try:
                udp.bind((host, port))
                tcp.bind((host, port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free for both UDP and TCP")


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[..., int]:
    """`free_port()`, for tests."""
    return free_port


class Running:
    """A program under test: its output is collected while it runs, and it is always killed."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str] | None = None) -> None:
        self.command = command
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines.extend(self.process.stdout)  # extend takes each line as it comes

    @property
    def output(self) -> str:
        """What it has written until now, standard error included."""
        return "".join(self._lines)

    def ask(
        self, name: str, qtype: str = "A", *, tcp: bool = False, host: str = "127.0.0.1"
    ) -> dns.message.Message:
        """Return the reply to one question, by dnspython."""
        ask = dns.query.tcp if tcp else dns.query.udp
        return ask(dns.message.make_query(name, qtype), host, port=self.port, timeout=5)

    def wait_until(self, is_so: Callable[[], object], what: str = "the condition") -> None:
        """Wait for something to become so; fails with the output when it ends or takes too long."""
        until = time.monotonic() + DEADLINE
        while not is_so():
            if self.process.poll() is not None or time.monotonic() > until:
                self._reader.join(1)
                raise AssertionError(f"{what} did not come; {self.command} wrote:\n{self.output}")
            time.sleep(0.02)

    def wait_until_it_answers(self, host: str = "127.0.0.1") -> None:
        """Wait until the port answers any DNS question."""

        def answers() -> bool:
            query = dns.message.make_query("version.bind.", "TXT", "CH")
            try:
                dns.query.udp(query, host, port=self.port, timeout=0.2, raise_on_truncation=False)
            except (OSError, dns.exception.Timeout):
                return False
            return True

        self.wait_until(answers, f"an answer on port {self.port}")

    def wait(self) -> int:
        """Wait for the end; returns the exit status."""
        status = self.process.wait(DEADLINE)
        self._reader.join(1)
        return status

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit status."""
        self.process.send_signal(with_signal)
        return self.wait()

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`start(command, cwd=, env=)` runs a program as `Running`; killed at the end."""
    running: list[Running] = []

    def run(
        command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> Running:
        running.append(Running(command, cwd or tmp_path, env))
        return running[-1]

    yield run
    for program in running:
        program.kill()


@pytest.fixture
def twistd(start: Callable[..., Running], tmp_path: Path) -> Callable[..., Running]:
    """`twistd(corefile, *options)` serves a Corefile's text as ``twistd -n k8sdns`` would.

    ``@PORT@`` in the text is a free loopback port, which is also the default port and the `port`
    of what is returned, once it answers (`wait=False`: at once). Give every server block
    ``bind 127.0.0.1`` or ``bind ::1``. `host` is where to wait for the first answer.
    """

    def serve(
        corefile: str,
        *options: str,
        wait: bool = True,
        host: str = "127.0.0.1",
        env: dict[str, str] | None = None,
    ) -> Running:
        port = free_port(host)
        path = tmp_path / "Corefile"
        path.write_text(corefile.replace("@PORT@", str(port)))
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        command += ["-n", "--pidfile=", "k8sdns", f"--corefile={path}", f"--port={port}", *options]
        server = start(command, env=env)
        server.port = port
        if wait:
            server.wait_until_it_answers(host)
        return server

    return serve
