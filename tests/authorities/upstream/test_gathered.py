"""Sockets that share one place in the reactor."""

from __future__ import annotations

import select
import socket

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from k8sdns.authorities.upstream.gathered import BATCH, HAS_EPOLL, Gathered

pytestmark = pytest.mark.skipif(not HAS_EPOLL, reason="the system has no epoll")


class Reactor:
    """Reads what is readable, once."""

    def __init__(self):
        self.readers = []

    def addReader(self, reader):
        self.readers.append(reader)

    def removeReader(self, reader):
        self.readers.remove(reader)

    def turn(self):
        ready, _, _ = select.select(self.readers, [], [], 0)
        for reader in ready:
            reader.doRead()


class Reader:
    """A connected socket; `read` is what arrived."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))
        self.read = []
        self.lost = []
        self.then = lambda: None

    def fileno(self):
        return self.socket.fileno()

    def doRead(self):
        try:
            self.read.append(self.socket.recv(100))
        except OSError as error:
            self.read.append(error)
        self.then()

    def connectionLost(self, reason):
        self.lost.append(reason)


@pytest.fixture
def server():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def readers(server):
    made = [Reader(server.getsockname()[1]) for _ in range(4)]
    yield made
    for reader in made:
        reader.socket.close()


def gathered(readers):
    reactor = Reactor()
    found = Gathered(reactor, "upstream 127.0.0.1:53")
    for reader in readers:
        found.addReader(reader)
    return found, reactor


def say(server, *readers):
    for reader in readers:
        server.sendto(b"hello", reader.socket.getsockname())


def test_those_that_have_something_are_read_in_one_turn(server, readers):
    found, reactor = gathered(readers)
    assert verifyObject(IReadDescriptor, found)
    assert reactor.readers == [found]
    say(server, *readers[:3])
    reactor.turn()
    assert [reader.read for reader in readers] == [[b"hello"]] * 3 + [[]]
    reactor.turn()
    assert sum(len(reader.read) for reader in readers) == 3


def test_the_place_is_given_up_with_the_last_reader_and_taken_again(server, readers):
    found, reactor = gathered(readers)
    for reader in readers:
        found.removeReader(reader)
        found.removeReader(reader)
    assert reactor.readers == []
    assert found.fileno() == -1
    found.addReader(readers[0])
    say(server, readers[0])
    reactor.turn()
    assert readers[0].read == [b"hello"]


def test_one_that_was_closed_by_another_is_not_read(server, readers):
    found, reactor = gathered(readers)

    def close_all():
        for reader in readers:
            found.removeReader(reader)
            reader.socket.close()

    for reader in readers:
        reader.then = close_all
    say(server, *readers)
    reactor.turn()
    assert sum(len(reader.read) for reader in readers) == 1
    assert reactor.readers == []


def test_an_error_is_read_too(server, readers):
    _found, reactor = gathered(readers)
    server.close()
    readers[0].socket.send(b"anybody?")
    reactor.turn()
    assert isinstance(readers[0].read[0], ConnectionRefusedError)


def test_a_bug_costs_one_socket(server, readers):
    found, reactor = gathered(readers)
    error = ValueError("a bug")

    def fail():
        raise error

    readers[0].then = fail
    say(server, *readers)
    reactor.turn()
    assert [len(reader.read) for reader in readers] == [1] * 4
    assert readers[0].lost[0].value is error
    assert reactor.readers == [found]


def test_all_hear_that_the_reactor_stops(readers):
    found, _reactor = gathered(readers)
    reason = Failure(ConnectionDone())
    found.connectionLost(reason)
    assert [reader.lost for reader in readers] == [[reason]] * 4


def test_one_turn_reads_a_bounded_number(server):
    many = [Reader(server.getsockname()[1]) for _ in range(BATCH + 10)]
    _found, reactor = gathered(many)
    say(server, *many)
    reactor.turn()
    assert sum(len(reader.read) for reader in many) == BATCH
    reactor.turn()
    assert all(len(reader.read) == 1 for reader in many)
    for reader in many:
        reader.socket.close()
