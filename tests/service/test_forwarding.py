"""Real upstreams: Unbound over UDP, TCP and TLS, dnsmasq, IPv6, and a server that asks itself."""

from __future__ import annotations

import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dns.message
import dns.query
import pytest

RECORDS = {
    "www.example.com.": ["300 IN A 192.0.2.53", "300 IN AAAA 2001:db8::53"],
    "alias.example.com.": ["120 IN CNAME www.example.com."],
    "many.example.com.": [f"300 IN A 198.51.100.{n}" for n in range(1, 101)],
}
CERTIFY = (
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 "
    "-subj /CN=dns.example -addext subjectAltName=DNS:dns.example"
)


@pytest.fixture
def unbound(start, needs, free_port, tmp_path):
    """Start Unbound on `host`; `port` is plain, `tls_port` is TLS for dns.example."""

    def run(host="127.0.0.1"):
        program = needs("unbound")
        needs("openssl")
        subprocess.run(CERTIFY.split(), cwd=tmp_path, check=True, capture_output=True, timeout=30)
        port, tls_port = free_port(host), free_port(host)
        local = "".join(
            f"  local-data: '{name} {record}'\n"
            for name, found in RECORDS.items()
            for record in found
        )
        (tmp_path / "unbound.conf").write_text(
            f"server:\n  interface: {host}@{port}\n  interface: {host}@{tls_port}\n"
            f"  tls-port: {tls_port}\n  tls-service-key: {tmp_path}/key.pem\n"
            f"  tls-service-pem: {tmp_path}/cert.pem\n  do-daemonize: no\n  username: ''\n"
            "  chroot: ''\n  pidfile: ''\n  use-syslog: no\n  module-config: iterator\n"
            f"  access-control: 127.0.0.0/8 allow\n  access-control: ::1 allow\n"
            f"  local-zone: example.com. static\n{local}remote-control:\n  control-enable: no\n"
        )
        server = start([program, "-d", "-c", str(tmp_path / "unbound.conf")])
        server.port, server.tls_port = port, tls_port
        server.wait_until_it_answers(host)
        return server

    return run


def addresses(reply):
    return sorted(record.to_text() for rrset in reply.answer for record in rrset)


@pytest.mark.parametrize("tcp", [False, True])
def test_unbound_answers_through_us(unbound, twistd, tcp):
    upstream = unbound()
    server = twistd(f".:@PORT@ {{\n bind 127.0.0.1\n forward . 127.0.0.1:{upstream.port}\n}}\n")
    assert addresses(server.ask("www.example.com", tcp=tcp)) == ["192.0.2.53"]
    assert server.ask("nothing.example.com", tcp=tcp).rcode() == 3
    # More than a datagram holds: asked for over TCP, and the client is told to do the same.
    assert len(addresses(server.ask("many.example.com", tcp=True))) == 100


def test_unbound_answers_over_tls_to_the_right_name_only(unbound, twistd, tmp_path):
    upstream = unbound()
    corefile = (
        ".:@PORT@ {\n bind 127.0.0.1\n errors\n"
        f" forward . tls://127.0.0.1:{upstream.tls_port} {{\n"
        f"  tls {tmp_path}/cert.pem\n  tls_servername @NAME@\n }}\n}}\n"
    )
    server = twistd(corefile.replace("@NAME@", "dns.example"))
    assert addresses(server.ask("www.example.com")) == ["192.0.2.53"]
    server = twistd(corefile.replace("@NAME@", "other.example"))
    assert server.ask("www.example.com").rcode() == 2
    server.wait_until(lambda: "the certificate is for another name" in server.output)


def test_upstreams_are_asked_over_ipv6(unbound, twistd):
    upstream = unbound("::1")
    server = twistd(f".:@PORT@ {{\n bind 127.0.0.1\n forward . [::1]:{upstream.port}\n}}\n")
    for tcp in (False, True):
        assert addresses(server.ask("www.example.com", "AAAA", tcp=tcp)) == ["2001:db8::53"]


def test_dnsmasq_answers_through_the_cache(start, needs, free_port, twistd):
    port = free_port()
    upstream = start([
        needs("dnsmasq"), "--keep-in-foreground", "--no-resolv", "--no-hosts",
        "--conf-file=/dev/null",
        f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=",
        "--pid-file",
        "--address=/www.example.com/192.0.2.53", "--local-ttl=60",
    ])  # fmt: skip
    upstream.port = port
    upstream.wait_until_it_answers()
    server = twistd(f".:@PORT@ {{\n bind 127.0.0.1\n forward . 127.0.0.1:{port}\n cache 30\n}}\n")
    assert addresses(server.ask("www.example.com")) == ["192.0.2.53"]
    upstream.end()
    kept = server.ask("www.example.com")
    assert addresses(kept) == ["192.0.2.53"]
    assert kept.answer[0].ttl <= 30


def test_a_server_that_forwards_to_itself_ends_and_says_why(twistd):
    server = twistd(
        ".:@PORT@ {\n bind 127.0.0.1\n loop\n forward . 127.0.0.1:@PORT@\n}\n", wait=False
    )
    assert server.wait() == 1
    assert 'detected for zone "."' in server.output
    assert f"Upstream 127.0.0.1:{server.port} sends our questions back to us" in server.output


@pytest.fixture
def shown():
    """A host that shows pages over HTTP; `shown.status` is what it says, with a body for ever."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            shown.asked.append(self.path)
            self.send_response(shown.status)
            self.end_headers()
            try:
                while not shown.is_over:
                    self.wfile.write(bytes(65536))
            except OSError:
                shown.hung_up += 1

        def log_message(self, *_words):
            pass

    shown = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    shown.status, shown.asked, shown.hung_up, shown.is_over = 500, [], 0, False
    serving = threading.Thread(target=shown.serve_forever, args=(0.05,))
    serving.start()
    yield shown
    shown.is_over = True
    shown.shutdown()
    shown.server_close()
    serving.join()


def test_a_page_over_http_shows_whether_an_upstream_lives(shown, twistd):
    """Its body, which never ends, is not read."""
    server = twistd(
        ".:@PORT@ {\n bind 127.0.0.1\n"
        f" proxy . 127.0.0.1:9 {{\n  health_check /health?x=1:{shown.server_port} 200ms\n }}\n}}\n"
    )
    server.wait_until(
        lambda: "Host 127.0.0.1:9 health check returned HTTP code 500" in server.output
    )
    shown.status = 204
    server.wait_until(lambda: "Host 127.0.0.1:9 is well again" in server.output)
    assert set(shown.asked) == {"/health?x=1"}
    server.wait_until(lambda: shown.hung_up > 0)
    assert "Traceback" not in server.output


@pytest.fixture
def echo(free_port):
    """An upstream over UDP and TCP; `echo.peers` are (transport, address) of those who asked."""

    class Echo:
        def __init__(self):
            self.port = free_port()
            self.peers = []
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("127.0.0.1", self.port))
            self.tcp = socket.create_server(("127.0.0.1", self.port))
            self.threads = [
                threading.Thread(target=each) for each in (self.datagrams, self.streams)
            ]

        def datagrams(self):
            while True:
                query, peer = self.udp.recvfrom(4096)
                if not query:
                    return
                self.peers.append(("udp", peer[0]))
                reply = dns.message.make_response(dns.message.from_wire(query))
                self.udp.sendto(reply.to_wire(), peer)

        def streams(self):
            while True:
                connection, peer = self.tcp.accept()
                with connection:
                    try:
                        query, _when = dns.query.receive_tcp(connection)
                    except EOFError:
                        return
                    self.peers.append(("tcp", peer[0]))
                    dns.query.send_tcp(connection, dns.message.make_response(query))

        def end(self):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", self.port))
            socket.create_connection(("127.0.0.1", self.port)).close()
            for thread in self.threads:
                thread.join()
            self.udp.close()
            self.tcp.close()

    echo = Echo()
    for thread in echo.threads:
        thread.start()
    yield echo
    echo.end()


def test_questions_leave_from_the_source_address(echo, twistd):
    server = twistd(
        f".:@PORT@ {{\n bind 127.0.0.1\n forward . 127.0.0.1:{echo.port} {{\n"
        "  source_address ::ffff:127.0.0.9\n }\n}\n"
    )
    for tcp in (False, True):
        assert server.ask("www.example.com", tcp=tcp).rcode() == 0
    assert set(echo.peers) == {("udp", "127.0.0.9"), ("tcp", "127.0.0.9")}


def test_a_source_address_that_is_not_ours_is_told_by_name(echo, twistd):
    server = twistd(
        f".:@PORT@ {{\n bind 127.0.0.1\n errors\n forward . 127.0.0.1:{echo.port} {{\n"
        "  source_address 192.0.2.77\n }\n}\n"
    )
    for tcp in (False, True):
        assert server.ask("www.example.com", tcp=tcp).rcode() == 2
    server.wait_until(lambda: server.output.lower().count("cannot assign requested address") >= 2)
    assert echo.peers == []


def test_the_system_knows_the_address_of_a_host_name(echo, twistd):
    server = twistd(
        f".:@PORT@ {{\n bind 127.0.0.1\n forward . localhost:{echo.port} {{\n"
        "  policy sequential\n }\n}\n"
    )
    assert server.ask("www.example.com").rcode() == 0


def test_a_host_name_without_address_stops_the_start(echo, twistd):
    """The resolver answers, but knows nothing."""
    server = twistd(
        ".:@PORT@ {\n bind 127.0.0.1\n forward . nowhere.example {\n"
        f"  resolver 127.0.0.1:{echo.port}\n }}\n}}\n",
        wait=False,
    )
    assert server.wait() == 1
    assert 'failed to resolve "nowhere.example": no addresses found' in server.output
    assert "Traceback" not in server.output
