"""A ring gives the very octets that the writer would, whichever address leads."""

from __future__ import annotations

import struct

import pytest

from k8sdns import names, records
from k8sdns.answers import Answer, Edns, Question
from k8sdns.records import Record
from k8sdns.server.repeats import MAX_RING_OCTETS, ring_of
from k8sdns.wire import writer

NAME = names.from_text("web.shop.svc.cluster.local")
ALIAS = names.from_text("www.example.org")


class Leads:
    def __init__(self, first):
        self._first = first

    def first(self, _question, _answer, _count):
        return self._first


def question_of(name=NAME, edns=None):
    question = Question(name)
    question.message = b"\x00\x07" + bytes(10)
    question.edns = edns
    return question


def addresses(count, name=NAME):
    return tuple(Record(name, records.A, 5, struct.pack("!I", n)) for n in range(count))


def ring(question, answer):
    return ring_of(writer.reply(question, answer, 1232), question, answer.rendered(question))


@pytest.mark.parametrize("edns", [None, Edns(4096, do=False), Edns(600, do=True)])
@pytest.mark.parametrize("count", [2, 3, 20, 27, 28, 29, 72, 100])
@pytest.mark.parametrize("more", [(), (Record(ALIAS, records.TXT, 5, b"\x01x"),)])
def test_every_turn_is_what_the_writer_says(edns, count, more):
    question = question_of(edns=edns)
    answer = Answer(addresses(count), (), more, aa=True)
    made = ring(question, answer)
    assert made.links == count
    for first in range(count):
        expected = writer.reply(question, answer, 1232, Leads(first))
        assert b"\x00\x07" + made.turned(first) == expected


def test_an_alias_stays_in_front_of_its_addresses():
    question = question_of(ALIAS)
    alias = Record(ALIAS, records.CNAME, 5, NAME)
    answer = Answer((alias, *addresses(5)), aa=True)
    if answer.rendered(question).span[1] < 2:
        pytest.skip("nothing to turn")
    made = ring(question, answer)
    for first in range(made.links):
        expected = writer.reply(question, answer, 1232, Leads(first))
        assert b"\x00\x07" + made.turned(first) == expected


def test_a_ring_is_bounded_and_of_equal_links():
    many = Answer(addresses(MAX_RING_OCTETS // 32 + 1))
    assert ring(question_of(), many) is None
    six = Record(NAME, records.AAAA, 5, bytes(16))
    assert ring(question_of(), Answer((*addresses(2), six))) is None
