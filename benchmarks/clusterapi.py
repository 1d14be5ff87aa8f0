"""A fake API server in a process of its own, as large as asked, that changes on command.

Commands are JSON, one a line, on standard input; each is answered by one line of JSON:
    {"do": "apply", "things": [...]}                 -> {"at": [seconds, ...]}
    {"do": "delete", "things": [[kind, ns, name]]}   -> {"at": [seconds, ...]}
    {"do": "churn", "rate": N, "seconds": N}         -> {"events": N}
    {"do": "relist"}                                 -> {}   (history forgotten, watches cut)
Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from twisted.internet import (
    reactor as global_reactor,  # noqa: TID251 - a program of its own
    stdio,
    task,
)
from twisted.protocols.basic import LineReceiver

from k8sdns.testing.apiserver import FakeApiServer, responses

Object = dict[str, Any]
reactor: Any = global_reactor

ENDPOINTS_A_SLICE = 5
ZONES = ("eu-1a", "eu-1b", "eu-1c")
# What a real object carries besides; nobody reads it, everybody has to skip it.
MANAGED = [
    {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:generateName": {}}},
    }
]


def metadata(name: str, namespace: str, **more: Any) -> Object:
    return {"name": name, "namespace": namespace, "managedFields": MANAGED, **more}


def a_namespace(number: int) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{number}"}}


def a_service(number: int, namespaces: int, *, form: int = 0) -> Object:
    """Every tenth is headless."""
    address = f"10.{96 + form}.{number >> 8 & 255}.{number & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(f"s{number}", f"n{number % namespaces}"),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None" if number % 10 == 0 else address,
            "selector": {"app": f"s{number}"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    }


def a_slice(number: int, service: int, namespaces: int, *, form: int = 0) -> Object:
    first = number * ENDPOINTS_A_SLICE
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(
            f"s{service}-{number}",
            f"n{service % namespaces}",
            labels={"kubernetes.io/service-name": f"s{service}", "app": f"s{service}"},
        ),
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [an_endpoint(first + each, form) for each in range(ENDPOINTS_A_SLICE)],
    }


def an_endpoint(number: int, form: int) -> Object:
    address = f"10.{128 + (form << 2) + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{number % 5000}",
        "zone": ZONES[number % 3],
        "targetRef": {"kind": "Pod", "name": f"p{number}-{form}", "namespace": "n"},
    }


def a_pod(number: int, namespaces: int) -> Object:
    address = f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(f"p{number}", f"n{number % namespaces}", labels={"app": "a"}),
        "spec": {"nodeName": f"node-{number % 5000}", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def everything(sizes: argparse.Namespace) -> Iterator[Object]:
    """Yield a cluster of the size asked for."""
    for number in range(sizes.namespaces):
        yield a_namespace(number)
    for number in range(sizes.services):
        yield a_service(number, sizes.namespaces)
    for number in range(sizes.slices):
        yield a_slice(number, number % sizes.services, sizes.namespaces)
    for number in range(sizes.pods):
        yield a_pod(number, sizes.namespaces)


class Commands(LineReceiver):
    """Standard input and output."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 22

    def __init__(self, server: FakeApiServer, sizes: argparse.Namespace) -> None:
        self.server = server
        self.sizes = sizes

    def connectionMade(self) -> None:
        self.say(url=self.server.url)

    def say(self, **what: Any) -> None:
        self.sendLine(json.dumps(what).encode())

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        if reactor.running:
            reactor.stop()

    def lineReceived(self, line: bytes) -> None:
        command = json.loads(line)
        getattr(self, "do_" + command.pop("do"))(**command)

    def do_apply(self, things: list[Object]) -> None:
        self.say(at=[self._timed(self.server.apply, thing) for thing in things])

    def do_delete(self, things: list[list[str]]) -> None:
        self.say(at=[self._timed(self.server.delete, *thing) for thing in things])

    def _timed(self, change: Any, *arguments: Any) -> float:
        at = time.monotonic()
        change(*arguments)
        return at

    def do_relist(self) -> None:
        # Something newer than any watch has seen, so that none can go on from where it was.
        self.server.disconnect()
        self.server.apply(a_namespace(int(time.monotonic() * 1000)))
        self.server.compact()
        self.say()

    def do_churn(self, rate: int, seconds: float) -> None:
        """Change slices, `rate` a second, spread over time; as many as the machine lets us."""
        began, sizes = time.monotonic(), self.sizes
        sent = [0]

        def step() -> None:
            due = int(rate * (time.monotonic() - began))
            while sent[0] < min(due, int(rate * seconds)):
                number, form = random.randrange(sizes.slices), random.randrange(1, 20)
                changed = a_slice(number, number % sizes.services, sizes.namespaces, form=form)
                self.server.apply(changed)
                sent[0] += 1
            if time.monotonic() - began >= seconds:
                loop.stop()

        loop = task.LoopingCall(step)
        loop.start(0.005).addCallback(lambda _: self.say(events=sent[0]))


def main() -> None:
    """Load the cluster, say where it is, obey until standard input ends."""
    parser = argparse.ArgumentParser()
    for name in ("namespaces", "services", "slices", "pods"):
        parser.add_argument(f"--{name}", type=int, default=0)
    sizes = parser.parse_args()
    # A watch of 150,000 objects begins with more than a real server ever holds back.
    responses.BACKLOG_LIMIT = 1 << 30
    server = FakeApiServer(reactor)
    for thing in everything(sizes):
        server.apply(thing)
    server.listen(0)
    stdio.StandardIO(Commands(server, sizes))
    reactor.run()


if __name__ == "__main__":
    sys.exit(main())
