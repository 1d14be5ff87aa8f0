"""Profiles over HTTP."""

from __future__ import annotations

import gc
import marshal
import tracemalloc

import pytest
from twisted.internet.task import Clock

from k8sdns.web import pprof
from k8sdns.web.sites import Pages, PageSite


class Site:
    def __init__(self, connect) -> None:
        self.clock = Clock()
        pages = Pages()
        for path, page in pprof.pages(self.clock).items():
            pages.put(path, page)
        self._site = PageSite(pages, self.clock)
        self._connect = connect

    def get(self, path):
        connection = self._connect(self._site)
        connection.get(f"/debug/pprof/{path}")
        return connection


@pytest.fixture
def site(connect):
    return Site(connect)


def a_function_that_shows():
    return sum(range(1000))


def test_the_index_names_every_page(site):
    body = site.get("").reply().body.decode()
    for path in pprof.pages(Clock()):
        assert path.decode().removeprefix("/debug/pprof/") in body


def test_a_profile_shows_what_ran(site):
    client = site.get("profile?seconds=2")
    assert client.transport.value() == b""
    a_function_that_shows()
    site.clock.advance(2)
    reply = client.reply()
    assert reply.status == 200
    assert b"a_function_that_shows" in reply.body


def test_a_profile_can_be_loaded_by_pstats(site):
    client = site.get("profile?seconds=1&format=pstats")
    a_function_that_shows()
    site.clock.advance(1)
    functions = [name for _file, _line, name in marshal.loads(client.reply().body)]
    assert "a_function_that_shows" in functions


def test_allocations_show_the_line(site):
    client = site.get("allocations?seconds=1")
    kept = [bytearray(10_000) for _ in range(10)]
    site.clock.advance(1)
    assert not tracemalloc.is_tracing()
    lines = client.reply().body.decode().splitlines()
    assert any("test_pprof.py" in line and int(line.split()[0]) > 100_000 for line in lines)
    del kept


def test_one_recording_runs_at_a_time(site):
    first = site.get("profile?seconds=5")
    assert site.get("allocations").reply().status == 503
    site.clock.advance(5)
    assert first.reply().status == 200
    last = site.get("profile?seconds=1")
    site.clock.advance(1)
    assert last.reply().status == 200


def test_who_goes_away_ends_the_recording(site):
    client = site.get("allocations?seconds=60")
    client.channel.connectionLost()
    assert not tracemalloc.is_tracing()
    site.get("allocations?seconds=1")
    assert tracemalloc.is_tracing()
    site.clock.advance(1)


@pytest.mark.parametrize("seconds", ["0", "61", "-1", "x", "1e9", "9999999999999999"])
def test_times_are_bounded(site, seconds):
    assert site.get(f"profile?seconds={seconds}").reply().status == 400


def test_objects_are_counted_by_type(site):
    client = site.get("objects")
    site.clock.pump([0.001] * (2 + len(gc.get_objects()) // pprof.OBJECTS_A_STEP * 2 + 50))
    body = client.reply().body.decode()
    assert "builtins.dict" in body
    assert "generation 2:" in body


def test_a_server_is_profiled_while_it_answers(twistd, free_port):
    import urllib.request

    port = free_port()
    server = twistd(
        f".:@PORT@ {{\n bind 127.0.0.1\n pprof 127.0.0.1:{port} {{\n block 5\n }}\n whoami\n}}"
    )
    url = f"http://127.0.0.1:{port}/debug/pprof/profile?seconds=1"
    with urllib.request.urlopen(url, timeout=20) as reply:
        assert b"function calls" in reply.read()
    assert server.ask("example.org").rcode() == 0
