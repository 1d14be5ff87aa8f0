"""Reloads: what is exchanged, what stays, and that nobody notices."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

TEMPLATE = """.:{port} {{
    bind 127.0.0.1
    errors
    kubernetes {zone} {{
        manifests {manifests}
    }}
}}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
        "spec: {clusterIP: 10.96.10.1, ports: [{port: 80}]}\n"
    )
    return path


class Served:
    """A server on a Corefile that a test rewrites."""

    def __init__(self, server: Any, corefile: Path, cluster: Path) -> None:
        self.server = server
        self._corefile = corefile
        self._cluster = cluster

    def write(self, zone: str = "cluster.local", text: str | None = None) -> None:
        if text is None:
            port = self.server.port
            text = TEMPLATE.format(port=port, zone=zone, manifests=self._cluster)
        self._corefile.write_text(text)

    def reload(self, until: str, number: int = signal.SIGHUP) -> None:
        before = self.server.output.count(until)
        self.server.process.send_signal(number)
        self.server.wait_until(lambda: self.server.output.count(until) > before, until)


@pytest.fixture
def served(twistd: Callable[..., Any], tmp_path: Path, cluster: Path) -> Served:
    text = TEMPLATE.format(port="@PORT@", zone="cluster.local", manifests=cluster)
    return Served(twistd(text), tmp_path / "Corefile", cluster)


def rcode(served: Served, name: str) -> int:
    return int(served.server.ask(name).rcode())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reloads(served: Served, number: int) -> None:
    served.write("k8s.example")
    served.reload("Reloading complete", number)
    assert rcode(served, "web.shop.svc.k8s.example") == 0
    assert rcode(served, "web.shop.svc.cluster.local") == dns.rcode.SERVFAIL


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (".:1 {{\n    whoam\n}}\n", "Corefile:2 - Error during parsing: Unknown directive 'whoam'"),
        (
            ".:1 {{\n    kubernetes {{\n        ttl x\n    }}\n}}\n",
            "Corefile:3 - plugin/kubernetes",
        ),
        (
            ".:{port} {{\n    bind 192.0.2.77\n    whoami\n}}\n",
            "Corefile:2 - cannot listen on tcp 192.0.2.77",
        ),
        (
            ".:1 {{\n    tls /nowhere /nowhere\n}}\n",
            "Corefile:2 - plugin/tls: cannot read /nowhere",
        ),
        (
            ".:1 {{\n    kubernetes {{\n        manifests /nowhere\n    }}\n}}\n",
            "no file or folder",
        ),
    ],
    ids=["syntax", "option", "address", "certificate", "file"],
)
def test_a_broken_corefile_changes_nothing(served: Served, text: str, complaint: str) -> None:
    """Law 7, second half."""
    served.write(text=text.format(port=served.server.port))
    served.reload("Restart failed")
    assert complaint in served.server.output
    assert rcode(served, "web.shop.svc.cluster.local") == 0
    served.write("k8s.example")
    served.reload("Reloading complete")
    assert rcode(served, "web.shop.svc.k8s.example") == 0


def test_a_reload_of_the_same_is_not_noticed(served: Served) -> None:
    """Law 7, first half: the same records, and a stream connection goes on."""
    query = dns.message.make_query("web.shop.svc.cluster.local", "A")
    before = served.server.ask("web.shop.svc.cluster.local").answer
    with socket.create_connection(("127.0.0.1", served.server.port)) as stream:
        dns.query.send_tcp(stream, query)
        dns.query.receive_tcp(stream)
        served.reload("Reloading complete")
        dns.query.send_tcp(stream, query)
        reply, _when = dns.query.receive_tcp(stream)
    assert reply.answer == before
    assert served.server.ask("web.shop.svc.cluster.local").answer == before


def test_no_query_is_lost_while_reloading(served: Served) -> None:
    """Good and broken reloads while questions are asked one after another."""
    lost: list[str] = []
    done = threading.Event()

    def ask_on() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect(("127.0.0.1", served.server.port))
            wire = dns.message.make_query("web.shop.svc.cluster.local", "A").to_wire()
            while not done.is_set():
                sock.send(wire)
                try:
                    reply = sock.recv(4096)
                except OSError as error:
                    lost.append(str(error))
                else:
                    if reply[3] & 0xF:
                        lost.append(f"rcode {reply[3] & 0xF}")

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        for number in range(10):
            if number % 2:
                served.write(text="broken {\n")
                served.reload("Restart failed")
            else:
                served.write()
                served.reload("Reloading complete")
    finally:
        done.set()
        asking.join()
    assert lost == []


def test_a_listener_can_move_from_every_address_to_one(served: Served) -> None:
    port = served.server.port
    served.write(text=f".:{port} {{\n    whoami\n}}\n")
    served.reload("Reloading complete")
    assert rcode(served, "anything.example") == 0
    served.write(text=f".:{port} {{\n    bind 127.0.0.1\n    whoami\n}}\n")
    served.reload("Reloading complete")
    assert rcode(served, "anything.example") == 0


def test_imports_are_part_of_what_is_looked_at(twistd: Callable[..., Any], tmp_path: Path) -> None:
    """The `reload` directive notices an imported file that was exchanged behind a symbolic link."""
    for version, word in (("1", "whoami"), ("2", "whoami\n    debug")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "words").write_text(f"    {word}\n")
    link = tmp_path / "data"
    link.symlink_to("1")
    words = "    bind 127.0.0.1\n    reload 2s 0s\n    import data/words\n"
    server = twistd(f".:@PORT@ {{\n{words}}}\n")
    server.wait_until(lambda: "Running configuration SHA512 = " in server.output)
    fresh = tmp_path / "fresh"
    fresh.symlink_to("2")
    fresh.replace(link)
    server.wait_until(lambda: "Reloading complete" in server.output, "a reload")
    assert server.ask("x.example").rcode() == 0


def test_fifty_reloads_under_load_lose_no_query(
    served: Served, needs: Callable[[str], str], tmp_path: Path
) -> None:
    """Good and broken ones, while dnsperf asks."""
    queries = tmp_path / "queries"
    queries.write_text(
        "web.shop.svc.cluster.local A\nweb.shop.svc.cluster.local AAAA\n"
        "gone.shop.svc.cluster.local A\n_http._tcp.web.shop.svc.cluster.local SRV\n"
    )
    place = ["-s", "127.0.0.1", "-p", str(served.server.port), "-d", str(queries)]
    # So long that it is still asking after the last reload; it is told to end then.
    load = subprocess.Popen(
        [needs("dnsperf"), *place, "-l", "60", "-Q", "2000", "-c", "10", "-t", "5"],
        stdout=subprocess.PIPE,
        text=True,
    )
    for number in range(50):
        if number % 3 == 2:
            served.write(text="broken {\n")
            served.reload("Restart failed")
        else:
            served.write()
            served.reload("Reloading complete")
    load.send_signal(signal.SIGINT)
    report, _ = load.communicate(timeout=30)
    completed = re.search(r"Queries completed:\s+(\d+)", report)
    lost = re.search(r"Queries lost:\s+(\d+)", report)
    assert completed, report
    assert int(completed[1]) > 1000, report
    assert lost, report
    assert int(lost[1]) == 0, report
