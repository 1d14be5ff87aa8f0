"""A real server in front of an API server that comes and goes: what a client is told when."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

ROOT = Path(__file__).parent.parent.parent
MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


class World:
    """Where everything is, and how to start it."""

    def __init__(self, folder):
        self.port, self.api_port = free_port(), free_port()
        self.folder = folder
        (folder / "shop.yaml").write_text(MANIFESTS)
        (folder / "Corefile").write_text(f"""
            cluster.local:{self.port} in-addr.arpa:{self.port} {{
                bind 127.0.0.1
                kubernetes cluster.local in-addr.arpa {{
                    endpoint http://127.0.0.1:{self.api_port}
                    startup_timeout 300ms
                    ttl 30
                    fallthrough
                    snapshot {folder}/copy
                }}
            }}""")

    def api_server(self):
        where = (str(self.api_port), str(self.folder / "shop.yaml"))
        return running("-m", "k8sdns.testing.apiserver", *where)

    def server(self):
        corefile = str(self.folder / "Corefile")
        words = ("-n", "--pidfile=", "k8sdns", "--grace", "0", "--corefile", corefile)
        return running("-c", "from twisted.scripts.twistd import run; run()", *words)

    def ask(self, name, qtype="A"):
        query = dns.message.make_query(name, qtype, use_edns=0)
        return dns.query.udp(query, "127.0.0.1", timeout=1, port=self.port)

    def eventually(self, name, wanted):
        """Return the first reply about `name` that is `wanted`; a start takes a while."""
        reply = None
        for _ in range(150):
            with contextlib.suppress(dns.exception.Timeout, OSError):
                reply = self.ask(name)
                if wanted(reply):
                    return reply
            time.sleep(0.1)
        pytest.fail(f"{name}: {reply}")


def errors_of(reply):
    return [int(o.code) for o in reply.options if isinstance(o, dns.edns.EDEOption)]


def test_an_api_server_that_comes_and_goes_disturbs_no_answer(tmp_path):
    world = World(tmp_path)
    with world.server():
        unsynced = world.eventually("web.shop.svc.cluster.local.", lambda _: True)
        assert unsynced.rcode() == dns.rcode.SERVFAIL
        assert errors_of(unsynced) == [14]
        pointer = world.ask("7.0.96.10.in-addr.arpa.", "PTR")
        assert (pointer.rcode(), errors_of(pointer)) == (dns.rcode.SERVFAIL, [14])
        with world.api_server():
            world.eventually("web.shop.svc.cluster.local.", lambda reply: reply.answer)
            missing = world.ask("none.shop.svc.cluster.local.")
            world.eventually("web.shop.svc.cluster.local.", lambda _: (tmp_path / "copy").exists())
        gone = world.ask("web.shop.svc.cluster.local.")
        assert [rr.ttl for rr in gone.answer] == [30]
        assert errors_of(gone) == []
        assert missing.rcode() == world.ask("none.shop.svc.cluster.local.").rcode()
    with world.server():
        warm = world.eventually("web.shop.svc.cluster.local.", lambda reply: reply.answer)
        assert [rr.ttl for rr in warm.answer] == [5]
        assert errors_of(warm) == [3]
        unknown = world.ask("none.shop.svc.cluster.local.")
        assert unknown.rcode() == dns.rcode.SERVFAIL
        with world.api_server():
            fresh = world.eventually(
                "web.shop.svc.cluster.local.", lambda reply: not errors_of(reply)
            )
        assert [rr.ttl for rr in fresh.answer] == [30]
