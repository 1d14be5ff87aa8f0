"""Datagrams: what a bug above the socket may cost."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from k8sdns.server.datagram import HAS_COMPILED, CompiledPort, DatagramPort, SourceKeepingPort

KINDS = [DatagramPort, SourceKeepingPort, *([CompiledPort] if HAS_COMPILED else [])]


class Reactor:
    def addReader(self, _reader: object) -> None: ...


def respond(message: bytes, _address: Any, _local: Any) -> bytes:
    if message == b"bad":
        raise ValueError("a bug")
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_costs_one_query_and_not_the_port(kind: Any) -> None:
    """What leaves doRead makes the reactor close the socket, for everybody and for good."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        client.settimeout(5)
        client.connect(sock.getsockname())
        port = kind(sock, respond, Reactor())
        client.send(b"bad")
        client.send(b"good")
        port.doRead()
        assert client.recv(100) == b"good"
