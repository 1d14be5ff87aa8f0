"""Datagrams: what a bug above the socket may cost."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from k8sdns.server import datagram
from k8sdns.server.datagram import (
    BATCH,
    HAS_COMPILED,
    SHARE,
    CompiledPort,
    DatagramPort,
    SourceKeepingPort,
)

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("seconds_a_query", "batches"),
    [(0.0, 4), (SHARE / BATCH / 2, 2), (SHARE / BATCH, 1), (1.0, 1)],
)
def test_a_wake_up_answers_what_fits_into_its_share(
    kind: Any, seconds_a_query: float, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a listing fills the turns of the event loop, queries must not get less than it does."""
    now, answered = [0.0], [0]

    def slowly(_message: bytes, _address: Any, _local: Any) -> None:
        answered[0] += 1
        now[0] += seconds_a_query

    monkeypatch.setattr(datagram, "monotonic", lambda: now[0])
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        client.connect(sock.getsockname())
        for _ in range(4 * BATCH):
            client.send(b"query")
        kind(sock, slowly, Reactor()).doRead()
    assert answered[0] == batches * BATCH
