"""A real server in front of an API server that comes and goes: what a client is told when."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

from k8sdns.directives import kubernetes as directive
from k8sdns.errors import CorefileError
from k8sdns.testing import serve

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

    def api_server(self, *command):
        where = (str(self.api_port), str(self.folder / "shop.yaml"))
        return running(*(command or ("-m", "k8sdns.testing.apiserver")), *where)

    def server(self):
        corefile = str(self.folder / "Corefile")
        words = ("-n", "--pidfile=", "k8sdns", "--grace", "0", "--corefile", corefile)
        return running("-c", "from twisted.scripts.twistd import run; run()", *words)

    def ask(self, name, qtype="A"):
        query = dns.message.make_query(name, qtype, use_edns=0)
        return dns.query.udp(query, "127.0.0.1", timeout=1, port=self.port, ignore_unexpected=True)

    def eventually(self, name, wanted):
        """Return the first reply about `name` that is `wanted`; a start takes a while.

        After an outage the pauses between attempts, and a 410 among them, add up to 20 s.
        """
        reply = None
        for _ in range(600):
            with contextlib.suppress(dns.exception.Timeout, OSError):
                reply = self.ask(name)
                if wanted(reply):
                    return reply
            time.sleep(0.1)
        pytest.fail(f"{name}: {reply}")

    def order(self, what):
        """Have the API server do something, as soon as it listens."""
        url = f"http://127.0.0.1:{self.api_port}/_ctl/{what}"
        for _ in range(100):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url, data=b"", timeout=5).close()
                return
            time.sleep(0.05)
        pytest.fail(f"{url} never answered")

    def order_stalls(self, octets, times=1):
        """Have the next listings stop after so many octets, whatever form they have."""
        for verb in ("list", "watch"):
            for _ in range(times):
                self.order(f"cut?after={octets}&how=stall&verb={verb}")

    def holds(self, services, gone):
        """Look whether exactly `services` are answered for."""
        self.eventually("new.shop.svc.cluster.local.", lambda reply: reply.answer)
        for name in gone:
            self.eventually(f"{name}.shop.svc.cluster.local.", lambda reply: not reply.answer)
        for name, number in services.items():
            reply = self.ask(f"{name}.shop.svc.cluster.local.")
            assert [rr[0].to_text() for rr in reply.answer] == [address_of(number)]


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


COREFILE = """
.:53 {
    bind 127.0.0.1
    kubernetes cluster.local {
        endpoint https://api.example.org:6443
    }
}
"""


def test_an_api_server_whose_name_only_we_could_tell_is_refused(monkeypatch):
    asked = []

    def is_looked_up_here(host, listeners):
        asked.append((host, listeners))
        return True

    monkeypatch.setattr(directive, "is_looked_up_here", is_looked_up_here)
    with pytest.raises(CorefileError, match="would be looked up at this very server"):
        serve(COREFILE)
    assert asked == [("api.example.org", [("127.0.0.1", 53)])]


def address_of(number):
    return f"10.97.{number >> 8}.{number & 255}"


def manifests(services):
    parts = [MANIFESTS]
    for name, number in services.items():
        spec = f"{{clusterIP: {address_of(number)}, ports: [{{port: 80}}]}}"
        named = f"{{name: {name}, namespace: shop}}"
        parts.append(f"apiVersion: v1\nkind: Service\nmetadata: {named}\nspec: {spec}\n")
    return "---\n".join(parts)


API_SERVER = """
import sys
from twisted.internet import reactor
from k8sdns.testing.apiserver.__main__ import start
server = start(sys.argv[2:], reactor)
server.conduct.watch_list = sys.argv[1] == "WatchList"
reactor.run()
"""
CROWD = {f"s{number}": number for number in range(300)}
BEFORE, DURING_LISTING, WATCHING, DURING_RELIST = "before", "listing", "watching", "relist"


@pytest.mark.parametrize(
    ("phase", "mode"),
    [
        (BEFORE, "WatchList"),
        (DURING_LISTING, "WatchList"),
        (DURING_LISTING, "list"),
        (WATCHING, "WatchList"),
        (DURING_RELIST, "WatchList"),
        (DURING_RELIST, "list"),
    ],
)
def test_killing_the_api_server_in_any_phase_loses_nothing(tmp_path, phase, mode):
    """It comes back with other objects, some of them gone, and has forgotten its past."""
    world = World(tmp_path)
    first = CROWD | {"old": 2000}
    then = CROWD | {"new": 2001, "s0": 2002}
    del then["s1"]
    is_synced = phase in (WATCHING, DURING_RELIST)
    (tmp_path / "shop.yaml").write_text(manifests(first))
    with world.api_server("-c", API_SERVER, mode) as api, contextlib.ExitStack() as stack:
        if phase in (BEFORE, DURING_LISTING):
            world.order_stalls(0 if phase == BEFORE else 30_000, times=3)  # resources
        stack.enter_context(world.server())
        world.eventually("web.shop.svc.cluster.local.", lambda reply: reply.answer or not is_synced)
        if is_synced:  # the last of the kinds, too, was listed
            world.eventually("nobody.shop.svc.cluster.local.", lambda reply: not errors_of(reply))
        if phase == DURING_RELIST:
            world.order_stalls(30_000)
            world.order("compact")
            world.order("disconnect")
            time.sleep(2)
        api.kill()
        api.wait()
        # What a listing has named by then is known; the rest is not denied.
        assert world.ask("web.shop.svc.cluster.local.").answer or not is_synced
        unknown = world.ask("nobody.shop.svc.cluster.local.")
        assert errors_of(unknown) == ([] if is_synced else [14])
        (tmp_path / "shop.yaml").write_text(manifests(then))
        stack.enter_context(world.api_server("-c", API_SERVER, mode))
        world.holds(then, gone=["old", "s1"])
