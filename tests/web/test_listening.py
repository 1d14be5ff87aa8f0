"""A web listener that cannot have all of its sockets has none."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from k8sdns.corefile.kinds import Listen
from k8sdns.web.sites import WebListener


class Port:
    is_listening = True

    def stopListening(self) -> None:
        self.is_listening = False


class Reactor:
    """Has descriptors for so many ports."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.ports: list[Port] = []

    def adoptStreamPort(self, _fileno: int, _family: Any, _factory: Any) -> Port:
        if len(self.ports) == self._room:
            raise OSError(errno.EMFILE, "Too many open files")
        self.ports.append(Port())
        return self.ports[-1]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_all_sockets_are_closed_and_no_port_stays_where_one_cannot_be_had(room: int) -> None:
    opened = [socket.socket(), socket.socket()]
    reactor = Reactor(room)
    listener = WebListener(Listen("localhost", 0), reactor, lambda _host, _port: opened)
    listener.startService()
    assert [sock.fileno() for sock in opened] == [-1, -1]
    assert [port.is_listening for port in reactor.ports] == [room == 2] * room
    assert len(listener.ports) == (2 if room == 2 else 0)
