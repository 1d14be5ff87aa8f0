"""Bytecode instructions of the hot functions: a measure that no noise reaches.

    python benchmarks/instructions.py            compare with baseline.json
    python benchmarks/instructions.py --write    take what is now as the baseline of this Python

Counts what the interpreter executes in our own files for fixed inputs, after one call to warm up.
It says nothing of the time spent in C, and is one number for one minor version of Python.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import k8sdns
from k8sdns import names
from k8sdns.answers import Answer, Question
from k8sdns.cluster.model import Endpoint, EndpointSlice, Port
from k8sdns.cluster.store import Store
from k8sdns.server.repeats import Repeater
from k8sdns.server.server import Server
from k8sdns.testing import serve
from k8sdns.testing.network import FakeNetwork
from k8sdns.wire.edns import OPT_OCTETS
from k8sdns.wire.reader import read
from k8sdns.wire.writer import reply

BASELINE = Path(__file__).with_name("baseline.json")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ALLOWED = 1.1  # of the baseline

ADDRESS = ("127.0.0.1", 5353)
OURS = str(Path(k8sdns.__file__).parent) + os.sep
FAKES = str(Path(OURS, "testing")) + os.sep

# What an upstream says behind the question: an address for it, and OPT.
SAID = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1\0\0\x29\4\xd0\0\0\0\0\0\0"
TIMES = 25
SETTLED = 300  # queries, after which no more sockets towards the upstream are opened

COREFILE = """
.:53 {
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests cluster.yaml
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus 127.0.0.1:0
    forward . 192.0.2.1
    cache 30
    loadbalance
}
"""
CLUSTER = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    },
]


def counted(call: Callable[[], Any]) -> int:
    """Return how many bytecode instructions of k8sdns one call executes."""
    total = 0

    def of_frame(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal total
        if event == "call":
            file = frame.f_code.co_filename
            if not file.startswith(OURS) or file.startswith(FAKES):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            total += 1
        return of_frame

    before = sys.gettrace()
    sys.settrace(of_frame)
    try:
        call()
    finally:
        sys.settrace(before)
    return total


def query(name: str, *, opt: bool = True) -> bytes:
    """Return a query for A records, with a plain OPT record."""
    head = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, int(opt))
    record = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if opt else b""
    return head + names.from_text(name) + b"\0\1\0\1" + record


def forwarded(server: Server, network: FakeNetwork) -> Callable[[], None]:
    """Return a call that asks for an outside name, another each time, and has it answered."""
    template = query("n00000.example.com")
    numbers = itertools.count()

    def ask() -> None:
        name = b"n%05d" % next(numbers)
        server.respond(template[:13] + name + template[19:], ADDRESS)
        sent = network.sent.popleft()
        asked, end = sent.message, len(sent.message) - OPT_OCTETS
        head = asked[:2] + b"\x81\x80\0\1\0\1\0\0\0\1"
        sent.source.deliver(head + asked[len(head) : end] + SAID)

    for _ in range(SETTLED):
        ask()
    return ask


def denied(repeater: Repeater, missing: bytes) -> Callable[[], None]:
    """Return a call that asks for a missing name, another each time."""
    numbers = itertools.count()

    def ask() -> None:
        repeater.respond(missing[:13] + b"n%03d" % next(numbers) + missing[17:], ADDRESS, ADDRESS)

    return ask


def hot(server: Server, network: FakeNetwork) -> dict[str, Callable[[], Any]]:
    """Return the hot functions with their inputs; each may be called again and again."""
    repeater = server.repeater()
    hit, missing = query("web.shop.svc.cluster.local"), query("gone.shop.svc.cluster.local")
    asked = read(hit)
    assert isinstance(asked, Question)
    asked.address, asked.server = ADDRESS, server
    answer = server.lookup(asked, asked.qname, asked.qtype)
    assert isinstance(answer, Answer)
    assert answer.answer
    for message in (hit, hit, missing, missing):
        repeater.respond(message, ADDRESS, ADDRESS)
    return {
        "wire.reader.read": lambda: read(hit),
        "wire.writer.reply": lambda: reply(asked, answer, 1232),
        "server.respond, a Service": lambda: server.respond(hit, ADDRESS),
        "server.respond, no such name": lambda: server.respond(missing, ADDRESS),
        "server.respond, an outside name": forwarded(server, network),
        "server.denials, no such name": denied(repeater, missing),
        "server.repeats, the same again": lambda: repeater.respond(hit, ADDRESS, ADDRESS),
        "cluster.store.upsert": updates(),
    }


def updates() -> Callable[[], None]:
    """Return a call that exchanges one endpoint of a slice for another."""
    store = Store(clock=lambda: 1_700_000_000.0)
    ports = (Port("http", 80, "TCP"),)
    slices = [
        EndpointSlice(
            "shop",
            "web-1",
            "web",
            str(n),
            ports,
            (Endpoint(f"10.0.0.{n}", "", "", "", ""),),
            None,
        )
        for n in (1, 2)
    ]

    def update() -> None:
        slices.reverse()
        store.upsert(slices[0])

    return update


def counts() -> dict[str, int]:
    """Return the instructions of every hot function."""
    with serve(COREFILE, cluster=CLUSTER) as served:
        served.advance(1)
        found = {}
        for name, call in hot(served.servers[0], served.network).items():
            call()
            call()
            # A query that the machine held up takes another branch, of the metrics' buckets.
            found[name] = min(counted(call) for _ in range(TIMES))
        return found


def baselines() -> dict[str, dict[str, int]]:
    """Return the baselines by minor version of Python."""
    found: dict[str, dict[str, int]] = json.loads(BASELINE.read_text())
    return found


def main() -> None:
    """Print the counts beside the baseline, or write it."""
    now = counts()
    known = baselines() if BASELINE.exists() else {}
    before = known.get(PYTHON, {})
    for name, count in now.items():
        print(f"{name:<34}{count:>7}{before.get(name, 0):>8}")
    if "--write" in sys.argv:
        BASELINE.write_text(json.dumps({**known, PYTHON: now}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
