"""Upstreams over TLS: who they must be, who we say we are, and sessions that are taken up again."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

import dns.message
import dns.query
import pytest

from k8sdns.testing.apiserver.tls import Authority

NAME = "dns.example"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def files(authority, tmp_path):
    """Writes what both sides need: ``server.crt``, ``server.key``, ``client.crt`` … ``ca.crt``."""
    (tmp_path / "ca.crt").write_bytes(authority.ca_pem)
    for who, names in (("server", (NAME,)), ("client", ())):
        certificate, key = authority.issue(who, names)
        (tmp_path / f"{who}.crt").write_bytes(certificate)
        (tmp_path / f"{who}.key").write_bytes(key)
    return tmp_path


class Upstream:
    """Answers one question a connection; `seen` are (client's name, session taken up again)."""

    def __init__(self, files, port, *, wants_client):
        self.port = port
        self.seen = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files / "server.crt", files / "server.key")
        if wants_client:
            self._context.load_verify_locations(files / "ca.crt")
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            connection, _peer = self._listening.accept()
            if not self._listening_still:
                connection.close()
                return
            connection.settimeout(5)
            with suppress(OSError, EOFError), connection:
                stream = self._context.wrap_socket(connection, server_side=True)
                query, _when = dns.query.receive_tcp(stream)
                self.seen.append((_common_name(stream), stream.session_reused))
                dns.query.send_tcp(stream, dns.message.make_response(query))
                stream.unwrap()

    _listening_still = True

    def end(self):
        self._listening_still = False
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listening.close()


def _common_name(stream):
    subject = (stream.getpeercert() or {}).get("subject", ())
    return next((value for ((kind, value),) in subject if kind == "commonName"), "")


@pytest.fixture
def upstream(files, free_port):
    running = []

    def run(*, wants_client=False):
        running.append(Upstream(files, free_port(), wants_client=wants_client))
        return running[-1]

    yield run
    for each in running:
        each.end()


def served(twistd, to, tls, options=f"tls_servername {NAME}"):
    return twistd(
        f".:@PORT@ {{\n bind 127.0.0.1\n errors\n forward . tls://{to} {{\n"
        f"  tls {tls}\n  {options}\n  max_fails 0\n }}\n}}\n"
    )


def test_later_connections_begin_with_the_session_of_the_last(upstream, files, twistd):
    at = upstream()
    server = served(twistd, f"127.0.0.1:{at.port}", files / "ca.crt")
    for number in range(3):
        assert server.ask(f"n{number}.example.com").rcode() == 0
    assert at.seen[0] == ("", False)
    assert ("", True) in at.seen[1:]


def test_an_upstream_that_wants_to_know_us_is_shown_our_certificate(upstream, files, twistd):
    at = upstream(wants_client=True)
    place = f"127.0.0.1:{at.port}"
    trust = files / "ca.crt"
    ours = f"{files / 'client.crt'} {files / 'client.key'} {trust}"
    assert served(twistd, place, ours).ask("www.example.com").rcode() == 0
    assert {name for name, _reused in at.seen} == {"client"}
    nobody = served(twistd, place, trust)
    assert nobody.ask("www.example.com").rcode() == 2
    nobody.wait_until(lambda: "over tls: " in nobody.output)


@pytest.mark.parametrize(
    ("to", "options", "rcode"),
    [
        ("127.0.0.1%dns.example:{}", "", 0),
        ("127.0.0.1%other.example:{}", "", 2),
        ("localhost%dns.example:{}", "", 0),
        ("localhost:{}", "tls_servername dns.example", 0),
        ("localhost:{}", "", 2),
    ],
)
def test_the_certificate_must_carry_the_name(upstream, files, twistd, to, options, rcode):
    at = upstream()
    server = served(twistd, to.format(at.port), files / "ca.crt", options)
    assert server.ask("www.example.com").rcode() == rcode
