"""Other people's directives, over real sockets: every interface end to end, without a hack."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rrset
import pytest

PACKAGE = Path(__file__).parent / "package"

CLUSTER = """
    kubernetes cluster.local {
        manifests @CLUSTER@
    }
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},"
        " spec: {clusterIP: 10.96.10.1, ports: [{port: 80}]}}"
    )
    return path


@pytest.fixture
def serve(twistd: Callable[..., Any], cluster: Path) -> Callable[[str], Any]:
    """`serve(words)` serves a block of these words with the package installed."""

    def start(words: str) -> Any:
        corefile = ".:@PORT@ {\n    bind 127.0.0.1\n" + words + "\n}\n"
        corefile = corefile.replace("@CLUSTER@", str(cluster))
        return twistd(corefile, env={"PYTHONPATH": str(PACKAGE)})

    return start


class Upstream:
    """A server on loopback: answers, is silent for ``silent.``, counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                octets, client = self._socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(octets)
            name = query.question[0].name
            self.asked.append(name.to_text())
            if name.to_text().startswith("silent."):
                continue
            reply = dns.message.make_response(query)
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.80"))
            self._socket.sendto(reply.to_wire(), client)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


def ask_from(server: Any, source: str, name: str) -> dns.message.Message:
    query = dns.message.make_query(name, "A", use_edns=0)
    return dns.query.udp(query, "127.0.0.1", port=server.port, timeout=1, source=source)


def addresses(reply: dns.message.Message) -> list[str]:
    return [rdata.address for rrset in reply.answer if rrset.rdtype == 1 for rdata in rrset]


def test_a_gatekeeper_drops_and_blocks_by_client(serve: Callable[[str], Any]) -> None:
    server = serve("gatekeeper {\n block 127.0.0.2\n drop 127.0.0.3\n}\n" + CLUSTER)
    name = "web.shop.svc.cluster.local"
    assert addresses(ask_from(server, "127.0.0.1", name)) == ["10.96.10.1"]
    blocked = ask_from(server, "127.0.0.2", name)
    assert blocked.rcode() == dns.rcode.REFUSED
    assert blocked.options[0].code == 15
    with pytest.raises(dns.exception.Timeout):
        ask_from(server, "127.0.0.3", name)


def test_a_name_is_changed_on_the_way_in_and_back(serve: Callable[[str], Any]) -> None:
    server = serve("renamer old.example svc.cluster.local\n" + CLUSTER)
    found = server.ask("web.shop.old.example")
    assert addresses(found) == ["10.96.10.1"]
    assert found.answer[0].name.to_text() == "web.shop.old.example."
    assert found.question[0].name.to_text() == "web.shop.old.example."
    missing = server.ask("gone.shop.old.example")
    assert missing.rcode() == dns.rcode.NXDOMAIN
    assert missing.authority[0].name.to_text() == "cluster.local."


def test_an_authority_may_ask_another_server(
    serve: Callable[[str], Any], upstream: Upstream
) -> None:
    server = serve(CLUSTER + f"remote {upstream.address}\nerrors\n")
    assert addresses(server.ask("www.example.org")) == ["192.0.2.80"]
    assert addresses(server.ask("www.example.org", tcp=True)) == ["192.0.2.80"]
    assert addresses(server.ask("web.shop.svc.cluster.local")) == ["10.96.10.1"]
    failed = server.ask("silent.example.org")
    assert failed.rcode() == dns.rcode.SERVFAIL
    line = "[ERROR] plugin/errors: 2 silent.example.org. A: no reply of 127.0.0.1"
    server.wait_until(lambda: line in server.output, "the line of errors")


def test_an_authority_can_be_wrapped_by_what_it_provides(
    serve: Callable[[str], Any], upstream: Upstream
) -> None:
    server = serve(f"remote {upstream.address} {{\n remember\n}}")
    for _ in range(3):
        assert addresses(server.ask("www.example.org")) == ["192.0.2.80"]
    assert upstream.asked == ["www.example.org."]


@pytest.mark.parametrize("target", ["web.shop.svc.cluster.local", "www.example.org"])
def test_another_name_is_looked_up_through_the_whole_server(
    serve: Callable[[str], Any], upstream: Upstream, target: str
) -> None:
    server = serve(f"alias short.example {target}\n{CLUSTER}remote {upstream.address}\n")
    found = server.ask("short.example")
    assert found.answer[0].to_text() == f"short.example. 5 IN CNAME {target}."
    assert len(addresses(found)) == 1


def test_aliases_that_lead_in_a_circle_end(serve: Callable[[str], Any]) -> None:
    server = serve("alias a.example a.example")
    assert server.ask("a.example").rcode() in {dns.rcode.NOERROR, dns.rcode.SERVFAIL}
    assert server.ask("b.example").rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("name", ["now.example", "later.example", "nonsense.example"])
def test_a_faulty_word_costs_its_query_a_servfail_and_a_log_line(
    serve: Callable[[str], Any], name: str
) -> None:
    server = serve(CLUSTER + "faulty\n")
    assert server.ask(name).rcode() == dns.rcode.SERVFAIL
    assert addresses(server.ask("web.shop.svc.cluster.local")) == ["10.96.10.1"]
    server.wait_until(lambda: "Recovered from a bug" in server.output, "a log line")


def test_an_unknown_word_names_the_nearest_of_the_package_too(
    twistd: Callable[..., Any],
) -> None:
    server = twistd(".:@PORT@ {\n    gatekeper\n}\n", wait=False, env={"PYTHONPATH": str(PACKAGE)})
    assert server.wait() == 1
    assert "Unknown directive 'gatekeper' (did you mean 'gatekeeper'?)" in server.output
