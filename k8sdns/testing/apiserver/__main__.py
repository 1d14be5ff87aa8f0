"""`python -m k8sdns.testing.apiserver`: a development cluster in the foreground.

Owns: the command line and what it prints. Refuses to know: everything that it starts.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import react

from k8sdns.testing.apiserver import kubeconfig
from k8sdns.testing.apiserver.controllers import Controllers
from k8sdns.testing.apiserver.server import FakeApiServer
from k8sdns.testing.apiserver.statuses import ApiError
from k8sdns.testing.apiserver.tls import Authority

NAMESPACES = ("default", "kube-system", "kube-public")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m k8sdns.testing.apiserver",
        description="A Kubernetes API server for development: objects in memory.",
    )
    made.add_argument("port", nargs="?", type=int, metavar="PORT", help="as --port")
    made.add_argument("fixture", nargs="?", metavar="MANIFESTS", help="as --manifests")
    made.add_argument("--port", dest="port_option", type=int, default=6443, metavar="N")
    made.add_argument("--manifests", action="append", default=[], metavar="FILE_OR_FOLDER")
    made.add_argument("--kubeconfig", metavar="FILE", help="write a kubeconfig there")
    made.add_argument(
        "--simulate",
        action="store_true",
        help="play the controllers: Pods for workloads, EndpointSlices for Services",
    )
    made.add_argument("--tls", action="store_true", help="serve https, with a CA of its own")
    return made


def start(arguments: Sequence[str], reactor: object) -> FakeApiServer:
    """Make, fill and open a server as the command line says, and say how to use it.

    Raises `ValueError`, `OSError`, `yaml.YAMLError` or `ApiError` for manifests that cannot be
    read, and `CannotListenError` for a port that cannot be had.
    """
    chosen = parser().parse_args(arguments)
    server = FakeApiServer(reactor)
    # Above all that an earlier life of this command can have reached.
    server.begin_at(int(time.time() * 1000))
    paths = [*chosen.manifests, *([chosen.fixture] if chosen.fixture else [])]
    loaded = sum(server.load(path) for path in paths)
    # A fixture says by itself which namespaces there are.
    for name in () if chosen.fixture else NAMESPACES:
        _make_namespace(server, name)
    if chosen.simulate:
        Controllers(server).start()
    authority = Authority() if chosen.tls else None
    server.listen(chosen.port if chosen.port is not None else chosen.port_option, tls=authority)
    if chosen.kubeconfig:
        text = kubeconfig.kubeconfig(server.url, ca_pem=authority.ca_pem if authority else None)
        kubeconfig.write(chosen.kubeconfig, text)
    sys.stdout.write(usage(server, loaded, chosen.kubeconfig) + "\n")
    sys.stdout.flush()
    return server


def _make_namespace(server: FakeApiServer, name: str) -> None:
    if server.get("Namespace", "", name) is None:
        server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def usage(server: FakeApiServer, loaded: int, config: str | None) -> str:
    """What to do next, for a person at a terminal."""
    kubectl = f"kubectl --kubeconfig {Path(config).resolve()}" if config else ""
    kubectl = kubectl or f"kubectl --server {server.url}"
    return "\n".join(
        [
            f"A Kubernetes API for development at {server.url}, {loaded} objects loaded.",
            "",
            f"  {kubectl} apply -f FILE",
            f"  {kubectl} get services -A -w",
            "",
            "In a Corefile:",
            "",
            "  kubernetes cluster.local in-addr.arpa ip6.arpa {",
            f"      kubeconfig {Path(config).resolve()}"
            if config
            else f"      endpoint {server.url}",
            "  }",
            "",
            "Ctrl-C ends it; nothing is kept.",
        ]
    )


def run(reactor: Any, *arguments: str) -> Deferred[None]:
    """Serve until the reactor stops; exit status 1 and one line when it cannot start."""
    try:
        start(arguments, reactor)
    except (ValueError, OSError, yaml.YAMLError, ApiError, CannotListenError) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        raise SystemExit(1) from None
    return Deferred()


if __name__ == "__main__":
    react(run, sys.argv[1:])
