"""The cluster behind the servers: an API server in its own process, which can be made to change.

    python benchmarks/apiserver.py PORT MANIFESTS

SIGUSR1 begins to change endpoints, `CHANGES` a second; SIGUSR2 ends that.
"""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import names
import processes

CHANGES = 500  # endpoint changes a second
TICKS = 50  # a second: changes come in small bursts, as a rollout's do


@contextlib.contextmanager
def running(folder: Path, port: int | None = None) -> Iterator[tuple[str, int]]:
    """Run the API server with the cluster of `names`. Yields its URL and its pid."""
    port = port or processes.free_port()
    folder.mkdir()
    manifests = folder / "cluster.json"
    names.write_manifests(manifests)
    command = [sys.executable, str(Path(__file__)), str(port), str(manifests)]
    with processes.running(command, folder, processes.OTHERS) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/version"):
                break
            time.sleep(0.1)
        else:
            raise SystemExit(f"no API server:\n{(folder / 'server.log').read_text()[-2000:]}")
        yield url, process.pid


def changed(draw: random.Random) -> dict[str, object]:
    """Return a Service's EndpointSlice with one endpoint exchanged."""
    number = draw.randrange(names.SERVICES)
    name, namespace = names.service(number)
    kept = names.endpoint_ips(number)[1:]
    new = f"10.{draw.randrange(140, 190)}.{draw.randrange(256)}.{draw.randrange(1, 255)}"
    return names.endpoint_slice(name, namespace, [new, *kept])


class Changes:
    """Changes endpoints while it is on."""

    def __init__(self, server: Any, reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._draw = random.Random(1)
        self._is_on = False

    def turn(self, *, on: bool) -> None:
        """Begin, or end."""
        begins = on and not self._is_on
        self._is_on = on
        if begins:
            self._tick(self._reactor.seconds())

    def _tick(self, due: float) -> None:
        if not self._is_on:
            return
        for _ in range(CHANGES // TICKS):
            self._server.apply(changed(self._draw))
        due += 1 / TICKS
        self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._tick, due)


def main(port: str, manifests: str) -> None:
    """Serve until killed."""
    from twisted.internet import reactor  # noqa: PLC0415, TID251 - a program of its own

    from k8sdns.testing.apiserver.server import FakeApiServer  # noqa: PLC0415

    loop: Any = reactor
    server = FakeApiServer(loop)
    server.load(manifests)
    server.listen(int(port))
    changes = Changes(server, loop)
    for number, on in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
        signal.signal(number, lambda *_, on=on: loop.callFromThread(changes.turn, on=on))
    loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
