"""A host of its own for tests that need ports, addresses and files which are taken here.

That is a network namespace with a mount namespace: nothing of this host is touched. It takes root,
and a test is skipped without.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PREPARE = """
ip link set lo up
ip link add nodelocaldns type dummy 2>/dev/null && device=nodelocaldns || device=lo
ip link set $device up
for address in {addresses}; do ip addr add $address/32 dev $device; done
mount --bind resolv.conf /etc/resolv.conf
mount -t tmpfs tmpfs /run
{more}
echo ready
exec sleep 600
"""
UNBOUND = """server:
  interface: {address}
  {more}
  do-daemonize: no
  username: ''
  chroot: ''
  pidfile: ''
  use-syslog: no
  module-config: iterator
  access-control: 0.0.0.0/0 allow
  {zones}
remote-control:
  control-enable: no
"""


class Host:
    """A host with `addresses`, on a dummy interface where the kernel has such, and programs.

    Its /etc/resolv.conf is `resolv.conf` of the test's folder; `more` are further lines of shell.
    """

    def __init__(self, start: Any, needs: Any, folder: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        needs("ip")
        self._start, self._folder = start, folder
        self._unshare, self._nsenter, self._dig = map(needs, ("unshare", "nsenter", "dig"))
        self._unbound = needs("unbound")
        self._pid = self._neighbour = 0
        self._next_to: str | None = None

    def begin(self, addresses: list[str], resolv_conf: str, more: str = "") -> None:
        """Make it; skips the test where this system does not allow it."""
        (self._folder / "resolv.conf").write_text(resolv_conf)
        script = PREPARE.format(addresses=" ".join(addresses), more=more)
        self._pid = self._held(["-n", "-m", "sh", "-ec", script])

    def begin_neighbour(self, address: str) -> None:
        """Make another host, which has `address` and is where `unbound(address)` runs then."""
        self._next_to = address
        self._neighbour = self._held(
            ["-n", "sh", "-ec", "ip link set lo up; echo ready; exec sleep 600"]
        )
        wire = f"ip link add here type veth peer name there netns {self._neighbour}"
        up = "ip link set here up; ip addr add 192.0.2.1/24 dev here"
        there = f"ip link set there up; ip addr add {address}/24 dev there"
        for where, script in ((self._pid, f"{wire}; {up}"), (self._neighbour, there)):
            command = [self._nsenter, "-t", str(where), "-n", "sh", "-ec", script]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            if done.returncode:
                pytest.skip(f"no network between namespaces here: {done.stderr}")

    def _held(self, words: list[str]) -> int:
        holder = self._start([self._unshare, *words])
        try:
            holder.wait_until(lambda: "ready" in holder.output)
        except AssertionError as error:
            pytest.skip(f"no network namespace with addresses of its own here: {error}")
        pid: int = holder.process.pid
        return pid

    def _inside(self, command: list[str]) -> list[str]:
        return [self._nsenter, "-t", str(self._pid), "-n", "-m", *command]

    def start(self, command: list[str], **how: Any) -> Any:
        """Run a program there."""
        return self._start(self._inside(command), **how)

    def serve(self, corefile: str, env: Mapping[str, str] | None = None) -> Any:
        """Serve a Corefile's text there, with its own ports."""
        path = self._folder / "Corefile"
        path.write_text(corefile)
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        command += ["-n", "--pidfile=", "k8sdns", f"--corefile={path}"]
        return self.start(command, env=dict(env or {}))

    def unbound(self, address: str, zones: str, more: str = "do-tcp: yes") -> Any:
        """Start Unbound on port 53 of an address; returns once it answers over TCP."""
        path = self._folder / f"unbound-{address}.conf"
        path.write_text(UNBOUND.format(address=address, more=more, zones=zones))
        command = [self._unbound, "-d", "-c", str(path)]
        if address == self._next_to:
            server = self._start([self._nsenter, "-t", str(self._neighbour), "-n", *command])
        else:
            server = self.start(command)
        probe = (f"@{address}", "+tcp", "id.server", "CH", "TXT")
        server.wait_until(lambda: "status:" in self.dig(*probe))
        return server

    def dig(self, *words: str) -> str:
        """Return what dig prints."""
        return self._printed([self._dig, "+tries=1", "+time=5", *words])

    def get(self, url: str) -> str:
        """Return a page or a file."""
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        return self._printed([sys.executable, "-c", code, url])

    def _printed(self, command: list[str]) -> str:
        done = subprocess.run(
            self._inside(command), capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout.strip()


@pytest.fixture
def host(start: Callable[..., Any], needs: Callable[[str], str], tmp_path: Path) -> Host:
    """A host that begins with `host.begin(addresses, resolv_conf)`."""
    return Host(start, needs, tmp_path)
