"""A server as users start it, asked by clients that are not ours."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "cluster"
COREFILE = f""".:@PORT@ {{
    bind 127.0.0.1 ::1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {EXAMPLE}
        pods insecure
    }}
    loadbalance
}}
"""


def records_of(text: str) -> set[tuple[str, ...]]:
    """Return (owner, TTL, type, rdata…) of the lines of dig's and kdig's answer sections."""
    lines = (line.split() for line in text.splitlines() if line and line[0] != ";")
    return {(w[0].lower(), w[1], w[3], *(x.strip('"').lower() for x in w[4:])) for w in lines}


def dnspython_records(reply: dns.message.Message) -> set[tuple[str, ...]]:
    return records_of("\n".join(rrset.to_text() for rrset in reply.answer))


NAMES = [
    ("kubernetes.default.svc.cluster.local", "A"),
    ("_https._tcp.kubernetes.default.svc.cluster.local", "SRV"),
    ("dns-version.cluster.local", "TXT"),
    ("cluster.local", "SOA"),
    ("1.0.96.10.in-addr.arpa", "PTR"),
    ("10-1-2-3.default.pod.cluster.local", "A"),
    ("KuberneteS.Default.svc.Cluster.Local", "A"),
]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_dig_kdig_and_dnspython_read_the_same(
    twistd: Callable[..., Any], needs: Callable[[str], str], transport: str
) -> None:
    dig, kdig = needs("dig"), needs("kdig")
    server = twistd(COREFILE)
    for name, qtype in NAMES:
        flags = ["+tcp"] if transport == "tcp" else []
        place = ["@127.0.0.1", "-p", str(server.port)]
        by_dig = run([dig, *place, *flags, "+noall", "+answer", name, qtype])
        by_kdig = run([kdig, *place, *flags, "+noall", "+answer", name, qtype])
        by_dnspython = server.ask(name, qtype, tcp=transport == "tcp")
        assert records_of(by_dig) == records_of(by_kdig) == dnspython_records(by_dnspython)
        assert by_dnspython.answer
        assert by_dnspython.answer[0].name.to_text() in {f"{name}.", name}


def run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout


def test_both_families_answer_on_a_bare_port(twistd: Callable[..., Any]) -> None:
    server = twistd(".:@PORT@ {\n    whoami\n}\n")
    four = server.ask("x.example", "A")
    assert dns.rdatatype.A in {rrset.rdtype for rrset in four.additional}
    if socket.has_ipv6:
        six = dns.query.udp(dns.message.make_query("x.example", "A"), "::1", port=server.port)
        assert {rrset.rdtype for rrset in six.additional} == {dns.rdatatype.AAAA, dns.rdatatype.SRV}


def test_a_dual_stack_socket_shows_ipv4_clients_as_such(twistd: Callable[..., Any]) -> None:
    server = twistd(".:@PORT@ {\n    bind ::\n    whoami\n}\n")
    reply = server.ask("x.example", "A")
    address = next(rrset[0] for rrset in reply.additional if rrset.rdtype == dns.rdatatype.A)
    assert address.address == "127.0.0.1"


def test_several_blocks_share_a_port_and_several_ports_a_block(
    twistd: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    other = free_port()
    corefile = f""".:@PORT@ {{
    bind 127.0.0.1
    whoami
}}
cluster.local:@PORT@ cluster.local:{other} {{
    bind 127.0.0.1
    kubernetes {{
        manifests {EXAMPLE}
    }}
}}
"""
    server = twistd(corefile)
    name = "kubernetes.default.svc.cluster.local"
    assert server.ask(name).answer
    assert not server.ask("elsewhere.example").answer
    query = dns.message.make_query(name, "A")
    assert dns.query.udp(query, "127.0.0.1", port=other, timeout=5).answer
    refused = dns.query.udp(
        dns.message.make_query("elsewhere.example", "A"), "127.0.0.1", port=other, timeout=5
    )
    assert refused.rcode() == dns.rcode.REFUSED


def test_one_connection_carries_several_queries(twistd: Callable[..., Any]) -> None:
    server = twistd(COREFILE)
    queries = [dns.message.make_query(name, qtype) for name, qtype in NAMES]
    octets = b"".join(struct.pack("!H", len(w)) + w for w in (q.to_wire() for q in queries))
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as stream:
        stream.sendall(octets[:30])
        stream.sendall(octets[30:])
        replies = [dns.query.receive_tcp(stream)[0] for _ in queries]
    assert {reply.id for reply in replies} == {query.id for query in queries}


def test_garbage_and_silence_harm_nobody(twistd: Callable[..., Any]) -> None:
    server = twistd(COREFILE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for octets in (b"", b"x", b"\xff" * 12, b"\0" * 500, b"\xc0\x0c" * 2000):
            sock.sendto(octets, ("127.0.0.1", server.port))
    streams = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    for stream in streams:
        stream.sendall(b"\xff\xff\0")
    assert server.ask("kubernetes.default.svc.cluster.local").answer
    assert server.ask("kubernetes.default.svc.cluster.local", tcp=True).answer
    for stream in streams:
        stream.close()


def test_replies_leave_from_the_address_that_was_asked() -> None:
    """On a wildcard socket, asked at an address that the kernel would not answer from."""
    from k8sdns.server.datagram import SourceKeepingPort

    class Reactor:
        def addReader(self, _reader: object) -> None: ...

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("", 0))
    sock.setblocking(False)
    asked_at: list[Any] = []

    def respond(message: bytes, _address: Any, local: Any) -> bytes:
        asked_at.append(local)
        return message

    port = SourceKeepingPort(sock, respond, Reactor())  # type: ignore[arg-type]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.7", sock.getsockname()[1]))
        client.send(b"hello")
        port.doRead()
        assert client.recv(100) == b"hello"
    assert asked_at == [("127.0.0.7", sock.getsockname()[1])]
    sock.close()


def test_a_changed_manifest_shows_within_a_second(
    twistd: Callable[..., Any], tmp_path: Path
) -> None:
    manifest = tmp_path / "service.yaml"
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
        "spec: {clusterIP: 10.96.10.1, ports: [{port: 80}]}\n"
    )
    manifest.write_text(text)
    corefile = COREFILE.replace(str(EXAMPLE), str(manifest))
    server = twistd(corefile)
    name = "web.shop.svc.cluster.local"

    def address() -> str:
        answer = server.ask(name).answer
        return answer[0][0].address if answer else ""

    assert address() == "10.96.10.1"
    manifest.write_text(text.replace("10.96.10.1", "10.96.10.2"))
    server.wait_until(lambda: address() == "10.96.10.2", "the new address")
    manifest.write_text("apiVersion: v1\nkind: [broken\n")
    server.wait_until(lambda: f"{manifest}:" in server.output, "the complaint")
    assert re.search(rf"{re.escape(str(manifest))}:\d+ - ", server.output)
    assert address() == "10.96.10.2"
