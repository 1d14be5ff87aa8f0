"""The sockets of workers: opened once, handed over whole, kept when a worker goes."""

from __future__ import annotations

import os
import socket

import pytest

from k8sdns.errors import ConfigurationError
from k8sdns.server.listeners import ListenKey
from k8sdns.workers.sockets import Inherited, WorkerSockets


def opened(sockets, *keys):
    found = sockets.prepare(keys)
    sockets.commit(found, keys)
    return found


@pytest.fixture
def dns(free_port):
    return ListenKey("dns", "127.0.0.1", free_port())


@pytest.fixture
def sockets():
    made = WorkerSockets(2)
    yield made
    made.close()


def test_each_worker_has_datagram_sockets_of_its_own_and_all_share_the_streams(sockets, dns):
    (found,) = opened(sockets, dns)[dns]
    assert len({sock.fileno() for sock in found.datagrams}) == 2
    assert len({sock.getsockname() for sock in (found.stream, *found.datagrams)}) == 1
    (place,), first = sockets.of_worker(0)
    _, second = sockets.of_worker(1)
    assert place.sockets == len(first) == 2
    assert first[0] == second[0] == found.stream.fileno()
    assert first[1] != second[1]


def test_a_worker_makes_listeners_of_what_came(sockets, dns):
    opened(sockets, dns)
    places, descriptors = sockets.of_worker(1)
    inherited = Inherited()
    inherited.take_in(places, iter([os.dup(each) for each in descriptors]))
    listener = inherited.listener(dns, None)
    listener.open()
    assert listener.port == socket.socket(fileno=os.dup(descriptors[1])).getsockname()[1]
    listener.close()
    assert socket.socket(fileno=os.dup(descriptors[0])).getsockname()[1] > 0  # ours stay open


def test_streams_alone_where_the_scheme_has_no_datagrams(sockets):
    tls = ListenKey("tls", "127.0.0.1", 0)
    opened(sockets, tls)
    (place,), descriptors = sockets.of_worker(0)
    assert place.sockets == len(descriptors) == 1


def test_a_reload_opens_what_is_new_and_closes_what_is_gone(sockets, dns, free_port):
    (old,) = opened(sockets, dns)[dns]
    other = ListenKey("dns", "127.0.0.2", free_port("127.0.0.2"))
    found = sockets.prepare([dns, other])
    assert list(found) == [other]
    sockets.abandon(found)
    assert found[other][0].stream.fileno() == -1
    assert old.stream.fileno() >= 0
    opened(sockets, other)
    assert old.stream.fileno() == old.datagrams[0].fileno() == -1


def test_a_port_that_is_taken_changes_nothing(sockets, dns):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        key = ListenKey("dns", "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match="cannot listen on tcp"):
            sockets.prepare([dns, key])
    assert sockets.of_worker(0) == ((), [])
