"""Sockets towards upstreams: Python's, and what is compiled instead, do the same."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from k8sdns.authorities.upstream import network
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.randomness import Randomness


@pytest.fixture(params=["python", "compiled"])
def opened(request, monkeypatch):
    """Return what opens a socket towards a port of this host."""
    if request.param == "compiled" and not network.HAS_COMPILED:
        pytest.skip("is not compiled here")
    monkeypatch.setattr(network, "HAS_COMPILED", request.param == "compiled")
    system = network.SystemNetwork(None, Randomness())
    return lambda port: system.open_datagram(Destination("127.0.0.1", port))


def received(sock):
    try:
        return sock.recv(4096)
    except BlockingIOError:
        return None


def test_datagrams_go_and_come(opened):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.bind(("127.0.0.1", 0))
        upstream.settimeout(5)
        with closing(opened(upstream.getsockname()[1])) as sock:
            assert received(sock) is None
            assert sock.send(b"query") == 5
            message, address = upstream.recvfrom(100)
            assert message == b"query"
            for reply in (b"reply", b"", b"x" * 5000):
                upstream.sendto(reply, address)
                assert received(sock) == reply[:4096]
            assert received(sock) is None


def test_what_nobody_hears_is_an_error(opened):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with closing(opened(port)) as sock:
        sock.send(b"query")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(4096)


def test_a_closed_socket_has_no_descriptor(opened):
    sock = opened(9)
    assert sock.fileno() >= 0
    sock.close()
    assert sock.fileno() == -1
    with pytest.raises(OSError):
        sock.send(b"query")
    with pytest.raises(OSError):
        sock.recv(4096)
