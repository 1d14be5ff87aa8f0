"""``cancel``: a query waits so long and no longer."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from k8sdns.answers import Answer, Question
from k8sdns.directives.cancel import Patience
from k8sdns.errors import CorefileError


def test_what_is_at_hand_passes():
    answer = Answer()
    assert Patience(Clock(), 1.0).respond(Question(), lambda _: answer) is answer


def test_what_takes_too_long_is_given_up(serve):
    server = serve(". {\ncancel 2s\nerratic {\ndelay 1 5s\n}\n}")
    replies = []
    server.ask("example.org").addCallback(replies.append)
    server.clock.advance(1.9)
    assert replies == []
    server.clock.advance(0.2)
    assert replies[0].rcode() == 2
    server.clock.advance(10)
    assert len(replies) == 1


def test_what_comes_in_time_is_answered():
    clock = Clock()
    waited: Deferred[Answer] = Deferred()
    results = []
    Patience(clock, 1.0).respond(Question(), lambda _: waited).addCallback(results.append)
    answer = Answer()
    waited.callback(answer)
    clock.advance(2)
    assert results == [answer]


def test_the_end_leaves_no_timer():
    clock = Clock()
    patience = Patience(clock, 5.0)
    patience.startService()
    patience.respond(Question(), lambda _: Deferred()).addErrback(lambda _: None)
    patience.stopService()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("word", ["x", "-1s", "5"])
def test_times_that_are_none_are_refused(checked, word):
    with pytest.raises(CorefileError, match="plugin/cancel"):
        checked(f". {{\ncancel {word}\n}}")
