"""Drops are the kernel's own number: what overflows a receive buffer is counted, once."""

from __future__ import annotations

import socket

import pytest

from k8sdns.metrics import UDP_SOCKET_DROPS, Metrics
from k8sdns.server.drops import Drops, dropped
from k8sdns.server.sockets import ListenAddress

ADDRESS = ListenAddress(socket.AF_INET, "127.0.0.1", 53)


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request):
    """Two UDP sockets; the first reads nothing and has little room."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        first = socket.socket(family, socket.SOCK_DGRAM)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        first.bind((request.param, 0))
    except OSError:
        pytest.skip(f"no {request.param} here")
    second = socket.socket(family, socket.SOCK_DGRAM)
    second.connect(first.getsockname())
    with first, second:
        yield first, second


def flood(second, count=200):
    for _ in range(count):
        second.send(bytes(500))


def drain(first):
    first.setblocking(False)
    received = 0
    while True:
        try:
            first.recv(600)
        except BlockingIOError:
            return received
        received += 1


def shown(metrics):
    return metrics.counter(UDP_SOCKET_DROPS)[(str(ADDRESS),)]


def test_every_datagram_is_received_or_counted(pair):
    first, second = pair
    assert dropped(first) == 0
    flood(second)
    assert 0 < dropped(first) == 200 - drain(first)


def test_a_scrape_adds_what_is_new_since_the_last(pair):
    first, second = pair
    metrics = Metrics()
    drops = Drops(metrics, lambda: [(first, ADDRESS)])
    drops.count()
    assert shown(metrics) == 0
    flood(second)
    metrics.refresh()
    once = shown(metrics)
    assert once == dropped(first) > 0
    metrics.refresh()
    assert shown(metrics) == once


def test_a_socket_that_is_inherited_brings_no_old_drops_along(pair):
    first, second = pair
    flood(second)
    metrics = Metrics()
    Drops(metrics, lambda: [(first, ADDRESS)]).count()
    assert shown(metrics) == 0


def test_what_is_no_inet_socket_drops_nothing():
    one, other = socket.socketpair()
    with one, other:
        assert dropped(one) == 0
