"""``erratic``: misbehaviour by numbers."""

from __future__ import annotations

import dns.flags
import pytest
from twisted.internet.defer import Deferred

from k8sdns.errors import CorefileError
from k8sdns.interfaces import IAuthority, IReadiness, ISearchPath


def served(serve, options=""):
    return serve(f". {{\nerratic{f' {{{chr(10)}{options}{chr(10)}}}' if options else ''}\n}}")


def test_every_second_query_is_dropped(serve):
    server = served(serve)
    replies = [server.ask("example.org") for _ in range(4)]
    assert [reply is None for reply in replies] == [True, False, True, False]
    assert replies[1].answer[0][0].to_text() == "192.0.2.53"
    assert replies[1].answer[0].ttl == 0


def test_delay_and_truncation_replace_dropping(serve):
    server = served(serve, "truncate 2\ndelay 3 250ms")
    found = [server.ask("example.org", "AAAA") for _ in range(4)]
    assert [isinstance(each, Deferred) for each in found] == [True, False, False, True]
    replies = []
    found[0].addCallback(replies.append)
    server.clock.advance(0.2)
    assert replies == []
    server.clock.advance(0.1)
    assert replies[0].flags & dns.flags.TC
    assert not found[1].flags & dns.flags.TC
    assert found[2].flags & dns.flags.TC


def test_large_answers_do_not_fit(serve):
    server = served(serve, "drop 0\nlarge")
    assert len(server.ask("example.org", use_edns=0, payload=1232).answer[0]) == 1
    assert server.ask("larger.example.org").flags & dns.flags.TC


def test_other_types_are_failures(serve):
    assert served(serve, "drop 0").ask("example.org", "TXT").rcode() == 2


def test_it_is_ready_for_a_while(serve):
    server = served(serve)
    block = server.servers[0].router.routes[0].block
    (readiness,) = block.all(IReadiness)
    ready = []
    for _ in range(7):
        ready.append(readiness.waits_for() == "")
        server.ask("example.org")
    assert ready == [False, False, False, True, True, False, False]
    assert block.all(ISearchPath)[0].search_path(None)[-1] == b"\0"
    assert block.all(IAuthority) == [readiness]


@pytest.mark.parametrize("line", ["drop x", "drop 1 2", "delay 1 soon", "delay 1 1h", "lose 2"])
def test_mistakes_are_refused(checked, line):
    with pytest.raises(CorefileError, match="plugin/erratic"):
        checked(f". {{\nerratic {{\n{line}\n}}\n}}")
