"""Replies to streams are given again too, apart from those to datagrams."""

from __future__ import annotations

import dns.flags
import dns.message
import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer
from k8sdns.interfaces import IRepeatable
from k8sdns.metrics import PANICS, Metrics
from k8sdns.server.block import ServerBlock
from k8sdns.server.repeats import MAX_REPLY_OCTETS
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server

CLIENT, LOCAL = ("192.0.2.9", 4321), ("127.0.0.1", 53)


@implementer(IRepeatable)
class Crowd:
    """Answers with so many addresses, as long as it does not say otherwise; counts questions."""

    word = repeats_as = "crowd"

    def __init__(self, addresses):
        self.asked = 0
        self.made = []
        self._addresses = addresses

    def never_answers(self, _question):
        return False

    def answer(self, question):
        self.asked += 1
        found = (
            records.address(question.qname, f"10.0.{n >> 8}.{n & 255}", 5)
            for n in range(self._addresses)
        )
        answer = Answer(tuple(found), source=self.word)
        answer.is_current = True
        self.made.append(answer)
        return answer


def served(addresses):
    crowd, metrics = Crowd(addresses), Metrics()
    block = ServerBlock([crowd], metrics.counter(PANICS), ["crowd"])
    return crowd, Server(Router([Route(names.ROOT, block)]), Clock(), metrics)


def ask(respond):
    query = dns.message.make_query("www.example.org", "A")
    reply = dns.message.from_wire(respond(query.to_wire(), CLIENT, LOCAL))
    assert query.is_response(reply)
    return reply


def test_a_stream_gets_its_reply_again_until_the_truth_changes():
    crowd, server = served(3)
    for _ in range(10):
        assert len(ask(server.respond_to_stream).answer[0]) == 3
    assert crowd.asked == 2
    assert server.asked == 10
    for answer in crowd.made:
        answer.is_current = False
    ask(server.respond_to_stream)
    assert crowd.asked == 3


def test_a_stream_never_gets_what_was_cut_for_datagrams_nor_they_its_reply():
    _, server = served(100)
    repeater = server.repeater()
    for _ in range(4):
        short, whole = ask(repeater.respond), ask(server.respond_to_stream)
        assert short.flags & dns.flags.TC
        assert not whole.flags & dns.flags.TC
        assert len(whole.answer[0]) == 100


@pytest.mark.parametrize("addresses, is_kept", [(200, True), (300, False)])
def test_long_replies_are_not_kept(addresses, is_kept):
    crowd, server = served(addresses)
    assert (addresses * 16 < MAX_REPLY_OCTETS) == is_kept
    for _ in range(5):
        ask(server.respond_to_stream)
    assert crowd.asked == (2 if is_kept else 5)


@pytest.mark.parametrize("addresses, is_kept", [(100, True), (300, False)])
def test_what_was_cut_off_a_reply_is_not_kept_either_where_it_is_long(addresses, is_kept):
    crowd, server = served(addresses)
    repeater = server.repeater()
    for _ in range(5):
        assert ask(repeater.respond).flags & dns.flags.TC
    assert crowd.asked == (2 if is_kept else 5)


def test_an_answer_that_ended_before_it_was_asked_for_again_was_no_first_sighting():
    crowd, server = served(1)
    repeater = server.repeater()
    for asked in range(1, 6):
        ask(repeater.respond)
        crowd.made[-1].is_current = False
        assert crowd.asked == asked
    for _ in range(5):
        ask(repeater.respond)
    assert crowd.asked == 7
