"""What /ready says, and whom it asks."""

from __future__ import annotations

import json

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from k8sdns.corefile.kinds import Listen
from k8sdns.interfaces import IReadiness
from k8sdns.web.ready import CONTINUOUSLY, Readiness, Ready, ReadyPage
from k8sdns.web.sites import Placed, WebListener


@implementer(IReadiness)
class Reporter:
    def __init__(self, word, missing=""):
        self.word = word
        self.missing = missing
        self.asked = 0

    def waits_for(self):
        self.asked += 1
        return self.missing


@pytest.fixture
def get(ask):
    def reply(readiness, query=""):
        return ask(ReadyPage(readiness), f"/ready{query}", reactor=Clock())

    return reply


def readiness_of(*reporters):
    found = Readiness()
    found.watch(reporters)
    return found


def test_nobody_to_wait_for_is_ready(get):
    reply = get(readiness_of())
    assert (reply.status, reply.body) == (200, b"OK")
    assert reply.headers["connection"] == "close"
    assert reply.is_last


def test_the_words_that_are_not_ready_are_listed_in_order(get):
    reply = get(
        readiness_of(Reporter("kubernetes", "pods"), Reporter("file"), Reporter("auto", "x"))
    )
    assert (reply.status, reply.body) == (503, b"auto,kubernetes")


def test_two_of_one_word_both_count(get):
    readiness = readiness_of(Reporter("kubernetes", "services"), Reporter("kubernetes"))
    assert get(readiness).body == b"kubernetes"
    assert get(readiness).status == 503


def test_verbose_says_what_is_waited_for(get):
    reporters = Reporter("kubernetes", "services"), Reporter("kubernetes", "pods"), Reporter("file")
    reply = get(readiness_of(*reporters), "?verbose")
    assert reply.status == 503
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body) == {
        "ready": False,
        "words": {
            "file": {"ready": True, "waits_for": ""},
            "kubernetes": {"ready": False, "waits_for": "services; pods"},
        },
    }


def test_who_was_ready_once_is_not_asked_again(get):
    reporter = Reporter("kubernetes")
    readiness = readiness_of(reporter)
    assert get(readiness).status == 200
    reporter.missing = "services"
    assert get(readiness).status == 200
    assert reporter.asked == 1


def test_monitored_continuously_it_is(get):
    reporter = Reporter("kubernetes")
    readiness = readiness_of(reporter)
    readiness.monitor = CONTINUOUSLY
    assert get(readiness).status == 200
    reporter.missing = "services"
    assert get(readiness).status == 503


class Port:
    is_open = True

    def stopListening(self):
        self.is_open = False


def listening():
    listener = WebListener(Listen("", 0), Clock(), lambda _host, _port: [])
    listener.ports = [Port()]
    return listener, listener.ports[0]


def test_at_the_end_probes_are_refused(get):
    listener, port = listening()
    readiness = readiness_of()
    ready = Ready(listener, readiness)
    ready.startService()
    ready.leave()
    assert not port.is_open
    assert (get(readiness).status, get(readiness).body) == (503, b"Shutting down")


def test_others_on_the_same_socket_keep_it():
    listener, port = listening()
    Placed(listener, {b"/health": None}).startService()
    ready = Ready(listener, readiness_of())
    ready.startService()
    ready.leave()
    assert port.is_open
