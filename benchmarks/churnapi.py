"""The API server of `churn`, in a process of its own: it changes, and it fails, as told.

Commands are JSON, one a line, on standard input, each answered by one line of JSON:
    {"do": "churn", "rate": N}      -> {}                  (changes a second from now on; 0: none)
    {"do": "fault", "kind": "..."}  -> {"did": true|false}
    {"do": "calm"}                  -> {}                  (every fault that is left is taken back)
    {"do": "truth"}                 -> {"rows": [...]}     (see `churntruth`)
    {"do": "settled"}               -> {}                  (k8sdns answers as it should)
    {"do": "silence"}               -> {}                  (open watches say nothing any more)
    {"do": "counts"}                -> what was changed and what was asked so far
All that happens by chance is drawn from one seed.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from typing import Any

import churntruth
from churnfaults import Faults
from twisted.internet import (
    reactor as global_reactor,  # noqa: TID251 - a program of its own
    stdio,
    task,
)
from twisted.protocols.basic import LineReceiver

from k8sdns.testing.apiserver import FakeApiServer, Seen

Object = dict[str, Any]
reactor: Any = global_reactor
NAMESPACES = 12
SLICES = 2  # of a Service
ENDPOINTS = 7  # of a slice, at most
FORMS = 16  # that an object may take
BROKEN = 3  # Services, the last ones, that can be told unreadable
WATCHED = 3  # resources
TICK = 0.05
LIST_EVERY = 4096  # requests that the server's own log is counted after, at the latest


class Cluster:
    """Objects and changes of them; every address belongs to one form of one object only."""

    def __init__(self, server: FakeApiServer, services: int, draw: random.Random) -> None:
        self.server, self.services, self.draw = server, services, draw
        self.changes: Counter[str] = Counter()
        self._watches_lost: list[Any] | None = None
        self._good: dict[tuple[str, str], Object] = {}
        self._seen: dict[tuple[str, str], Object] = {}
        for number in range(NAMESPACES):
            self._namespace(number)
        for number in range(services):
            server.apply(self.a_service(number))
            for part in range(SLICES):
                server.apply(self.a_slice(number, part))

    def change(self) -> None:
        """Make one change, drawn by chance."""
        number, part = self.draw.randrange(self.services - BROKEN), self.draw.randrange(SLICES)
        namespace, chance = f"n{number % NAMESPACES}", self.draw.random()
        if chance < 0.002:
            self._turn_namespace(1 + self.draw.randrange(NAMESPACES - 1))
        elif not self._is_active(namespace):
            self.change()
        elif chance < 0.60:
            self._do("slice applied", self.server.apply, self.a_slice(number, part))
        elif chance < 0.70:
            key = ("EndpointSlice", namespace, f"s{number}-{part}")
            self._do("slice deleted", self.server.delete, *key)
        elif chance < 0.90:
            self._do("Service applied", self.server.apply, self.a_service(number))
        else:
            self._do("Service deleted", self.server.delete, "Service", namespace, f"s{number}")

    def _do(self, what: str, change: Any, *arguments: Any) -> None:
        before = self.server.revision
        change(*arguments)
        if self.server.revision != before:
            self.changes[what] += 1

    def _is_active(self, name: str) -> bool:
        found = self.server.get("Namespace", "", name)
        return found is not None and "deletionTimestamp" not in found["metadata"]

    def _namespace(self, number: int) -> None:
        named = {"name": f"n{number}"}
        self.server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": named})

    def _turn_namespace(self, number: int) -> None:
        """Delete a namespace with all it holds, or create it."""
        if self.server.get("Namespace", "", f"n{number}") is None:
            self._do("Namespace created", self._namespace, number)
        elif self._is_active(f"n{number}"):
            self._do("Namespace deleted", self.server.writer.terminate, ("", f"n{number}"))

    def a_service(self, number: int) -> Object:
        """A Service in one of its forms: headless, ExternalName, of one family or two."""
        form = self.draw.randrange(FORMS)
        unique = number * FORMS + form
        addresses = [f"10.{96 + (unique >> 16)}.{unique >> 8 & 255}.{unique & 255}"]
        addresses += [f"fd00::{unique + 1:x}"] if number % 4 == 1 else []
        is_headless = number % 5 == 0 or form == 0
        spec: Object = {"type": "ClusterIP", "selector": {"app": "a"}}
        spec["clusterIP"] = "None" if is_headless else addresses[0]
        spec["clusterIPs"] = ["None"] if is_headless else addresses
        spec["ports"] = [{"name": "http", "port": 80 + form % 3, "protocol": "TCP"}]
        if number % 37 == 7:
            spec = {"type": "ExternalName", "externalName": f"x{form}.example.net"}
        named = {"name": f"s{number}", "namespace": f"n{number % NAMESPACES}"}
        return {"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": spec}

    def a_slice(self, number: int, part: int) -> Object:
        """A slice with none to seven endpoints, some of them not ready or with a host name."""
        endpoints = []
        for each in range(self.draw.randrange(ENDPOINTS + 1)):
            chance, form = self.draw.random(), self.draw.randrange(FORMS)
            unique = ((number * SLICES + part) * 8 + each) * FORMS + form
            endpoint: Object = {
                "addresses": [f"10.{128 + (unique >> 16)}.{unique >> 8 & 255}.{unique & 255}"],
                "conditions": {"ready": chance > 0.15},
            }
            if chance > 0.9:
                endpoint["hostname"] = f"h{part}-{each}"
            endpoints.append(endpoint)
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"s{number}-{part}",
                "namespace": f"n{number % NAMESPACES}",
                "labels": {"kubernetes.io/service-name": f"s{number}"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        }

    def wait_for_watches(self) -> None:
        """Let nothing change until everything is watched anew."""
        self._watches_lost = self.server.open_watches()

    @property
    def is_waiting(self) -> bool:
        """Tell whether changes have to wait; watches end only some turns after a crash."""
        lost = self._watches_lost
        if lost is None:
            return False
        anew = [each for each in self.server.open_watches() if each not in lost]
        if len({each.stream.shelf.resource.plural for each in anew}) >= WATCHED:
            self._watches_lost = None
            for watch in anew:  # a server says so within a minute; nothing else gives it away
                watch.stream.bookmark()
        return self._watches_lost is not None

    def settled(self) -> None:
        """Take note that k8sdns agrees: it has seen every Service as it is now."""
        self._seen = {
            (thing["metadata"]["namespace"], thing["metadata"]["name"]): thing
            for thing in self.server.objects("Service")
        }

    def break_one(self) -> bool:
        """Let a Service become unreadable: what was known of it has to stay.

        Only one that was seen as it is: of what nobody could read in time nothing is known.
        """
        number = self.services - 1 - self.draw.randrange(BROKEN)
        key = (f"n{number % NAMESPACES}", f"s{number}")
        found = self.server.get("Service", *key)
        if found is None or found != self._seen.get(key):
            return False
        if isinstance(found["spec"]["ports"], list):
            self._good[key] = found
            broken = found | {"spec": found["spec"] | {"ports": "none of your business"}}
            resource = self.server.catalogue.named("Service")
            self._do("Service made unreadable", self.server.storage.put, resource, broken)
        return True

    def mend(self) -> None:
        """Let every Service be readable."""
        self._good.clear()
        for number in range(self.services - BROKEN, self.services):
            if self._is_active(f"n{number % NAMESPACES}"):
                self._do("Service applied", self.server.apply, self.a_service(number))

    def truth(self) -> list[churntruth.Row]:
        """Return what should be answered now."""
        services = []
        for thing in self.server.objects("Service"):
            key = (thing["metadata"]["namespace"], thing["metadata"]["name"])
            readable = isinstance(thing["spec"].get("ports", []), list)
            services += [thing] if readable else [self._good[key]] if key in self._good else []
        candidates = [(f"n{number % NAMESPACES}", f"s{number}") for number in range(self.services)]
        return churntruth.rows(services, self.server.objects("EndpointSlice"), candidates)


class Commands(LineReceiver):
    """Standard input and output."""

    delimiter = b"\n"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.faults = cluster, Faults(cluster, reactor)
        self.rate = self.due = 0.0
        self.asked: Counter[str] = Counter()

    def connectionMade(self) -> None:
        task.LoopingCall(self._tick).start(TICK, now=False)
        self.say(url=self.cluster.server.url)

    def say(self, **what: Any) -> None:
        self.sendLine(json.dumps(what).encode())

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        if reactor.running:
            reactor.stop()

    def lineReceived(self, line: bytes) -> None:
        command = json.loads(line)
        getattr(self, "do_" + command.pop("do"))(**command)

    def _tick(self) -> None:
        if self.cluster.is_waiting:
            return
        self.due += self.rate * TICK
        while self.due >= 1:
            self.due -= 1
            self.cluster.change()
        if len(self.cluster.server.log) > LIST_EVERY:
            self._count()

    def _count(self) -> None:
        log = self.cluster.server.log
        while log:
            self.asked[_form(log.popleft())] += 1

    def do_churn(self, rate: float) -> None:
        self.rate = rate
        self.say()

    def do_fault(self, kind: str) -> None:
        self.say(did=self.faults.do(kind))

    def do_calm(self) -> None:
        self.faults.calm()
        self.say()

    def do_settled(self) -> None:
        self.cluster.settled()
        self.say()

    def do_truth(self) -> None:
        self.say(rows=self.cluster.truth())

    def do_silence(self) -> None:
        self.cluster.server.silence()
        self.say()

    def do_counts(self) -> None:
        self._count()
        self.say(changes=self.cluster.changes, asked=self.asked)


def _form(seen: Seen) -> str:
    if "PartialObjectMetadataList" in seen.accept:
        return "list to audit"
    return "WatchList" if seen.query.get("sendInitialEvents") else seen.verb


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    server = FakeApiServer(reactor)
    cluster = Cluster(server, chosen.services, random.Random(chosen.seed))
    server.listen(0)
    stdio.StandardIO(Commands(cluster))
    reactor.run()


if __name__ == "__main__":
    main()
