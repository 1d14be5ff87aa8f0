"""health and ready of a running server, as a kubelet asks them."""

from __future__ import annotations

import http.client
import signal
import socket

import pytest

UNREACHABLE = "endpoint http://127.0.0.1:1"


def get(port, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def answers(port, host="127.0.0.1"):
    try:
        return get(port, "/", host)[0] == 404
    except OSError:
        return False


def test_a_server_that_waits_for_its_cluster_is_healthy_and_not_ready(twistd, free_port):
    """Every page speaks for all blocks that have `ready`."""
    health, ready, other = free_port(), free_port(), free_port()
    server = twistd(
        f"""
        cluster.local:@PORT@ {{
            bind 127.0.0.1
            health 127.0.0.1:{health}
            ready 127.0.0.1:{ready}
            kubernetes {{
                {UNREACHABLE}
                startup_timeout 1s
            }}
        }}
        other.local:@PORT@ {{
            bind 127.0.0.1
            ready 127.0.0.1:{other}
            whoami
        }}
        """,
        wait=False,
    )
    server.wait_until(lambda: answers(other), "the last page")
    assert get(health, "/health") == (200, "OK")
    assert get(ready, "/ready") == (503, "kubernetes")
    assert get(other, "/ready") == (503, "kubernetes")
    assert '"waits_for":"' in get(ready, "/ready?verbose")[1]
    said = '[INFO] plugin/ready: Plugins not ready: "kubernetes"'
    server.wait_until(lambda: said in server.output, said)


def test_at_the_end_ready_goes_first_and_lameduck_keeps_answering(twistd, free_port):
    health, ready = free_port(), free_port()
    server = twistd(
        f"""
        .:@PORT@ {{
            bind 127.0.0.1
            health 127.0.0.1:{health} {{
                lameduck 2s
            }}
            ready 127.0.0.1:{ready}
            whoami
        }}
        """
    )
    assert get(ready, "/ready") == (200, "OK")
    server.process.send_signal(signal.SIGTERM)
    server.wait_until(lambda: not answers(ready), "the end of /ready")
    assert get(health, "/health") == (200, "OK")
    assert server.ask("example.org").rcode() == 0
    assert server.wait() == -signal.SIGTERM
    assert "[INFO] plugin/health: Going into lameduck mode for 2s" in server.output


def test_one_socket_serves_every_page(twistd, free_port):
    port = free_port()
    server = twistd(
        f"""
        .:@PORT@ {{
            bind 127.0.0.1
            health 127.0.0.1:{port}
            ready 127.0.0.1:{port}
            whoami
        }}
        """
    )
    assert get(port, "/health") == get(port, "/ready") == (200, "OK")
    assert server.end() == -signal.SIGTERM


def test_an_ipv6_only_listener_and_an_endpoint_are_asked_alike(twistd, free_port, tmp_path):
    port = free_port("::1")
    twistd(
        f"""
        .:@PORT@ {{
            bind 127.0.0.1
            health [::1]:{port}
            ready unix:{tmp_path}/ready.sock
            whoami
        }}
        """
    )
    assert get(port, "/health", "::1") == (200, "OK")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"{tmp_path}/ready.sock")
        client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(4096), b""))
    assert reply.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))


def test_a_bare_port_is_both_families(twistd, free_port):
    port = free_port()
    twistd(f".:@PORT@ {{\n bind 127.0.0.1\n health localhost:{port}\n whoami\n}}")
    for host in ("127.0.0.1", "::1"):
        assert get(port, "/health", host) == (200, "OK")


def test_a_health_page_that_cannot_be_had_ends_the_start(twistd, free_port):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = twistd(
            f".:@PORT@ {{\n bind 127.0.0.1\n health 127.0.0.1:{port}\n whoami\n}}", wait=False
        )
        assert server.wait() == 1
    assert f"plugin/health: cannot listen on tcp 127.0.0.1:{port}" in server.output
    assert "Traceback" not in server.output


def test_a_ready_page_that_cannot_be_had_is_an_error_in_the_log(twistd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = twistd(f".:@PORT@ {{\n bind 127.0.0.1\n ready 127.0.0.1:{port}\n whoami\n}}")
        assert server.ask("example.org").rcode() == 0
        server.wait_until(lambda: "[ERROR] Failed to start the pages of" in server.output)


@pytest.mark.parametrize(
    "stanza, complaint",
    [
        ("health {\n lame 5s\n}", "lame"),
        ("health 8080", "8080"),
        ("health {\n lameduck five\n}", "five"),
        ("ready {\n monitor always\n}", "monitor type 'always' not supported"),
        ("ready :8181\n ready :8182", "ready"),
    ],
)
def test_mistakes_name_their_line(twistd, stanza, complaint):
    server = twistd(f".:@PORT@ {{\n {stanza}\n}}", "--check", wait=False)
    assert server.wait() == 1
    (line,) = server.output.splitlines()
    assert complaint in line
    assert f"Corefile:{2 + stanza.count(chr(10)) - stanza.count('}')} - " in line
