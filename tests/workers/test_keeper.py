"""A child is replaced at once, and more and more slowly while it keeps dying young."""

from __future__ import annotations

import os
import signal

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from k8sdns.corefile.parser import Corefile
from k8sdns.errors import ConfigurationError
from k8sdns.metrics import WORKER_RESTARTS, Metrics
from k8sdns.workers.child import LONGEST_PAUSE, LONGEST_PAUSE_UNSERVED, STOPS_WITHIN, YOUNG, Keeper
from k8sdns.workers.control import Prepare, Prepared, Refused, Wanted
from k8sdns.workers.supervisor import WorkersReadiness


class Reactor(Clock):
    """A clock that adopts connections by keeping what they are for."""

    def __init__(self):
        super().__init__()
        self.channels = []

    def adoptStreamConnection(self, _descriptor, _family, factory):
        self.channels.append(factory.buildProtocol(None))
        self.channels[-1].makeConnection(StringTransport())


class Nursery:
    """Forks nothing; the test says what becomes of the children."""

    def __init__(self):
        self.forked = []
        self.kills = 0

    def fork(self, role, channel, born):
        channel.close()
        self.forked.append(born)

    def kill(self):
        self.kills += 1


@pytest.fixture
def killed(monkeypatch):
    found = []
    monkeypatch.setattr(os, "kill", lambda pid, number: found.append((pid, number)))
    return found


class Kept:
    def __init__(self):
        self.reactor, self.nursery, self.metrics = Reactor(), Nursery(), Metrics()
        self.told = []
        self.keeper = Keeper(
            "worker", 0, self.reactor, self.nursery, self.metrics,
            lambda _: self.told.append("born"),
            lambda _, report: self.told.append(report),
            lambda _: self.told.append("gone"),
        )  # fmt: skip
        self.keeper.start()

    def dies(self):
        self.reactor.channels[-1].connectionLost()

    @property
    def restarts(self):
        return dict(self.metrics.counter(WORKER_RESTARTS))


@pytest.fixture
def kept():
    return Kept()


def test_one_that_lived_is_replaced_at_once(kept):
    kept.reactor.advance(YOUNG)
    kept.dies()
    kept.reactor.advance(0)
    assert kept.told == ["born", "gone", "born"]
    assert kept.restarts == {("worker", "died"): 1}


@pytest.mark.parametrize(
    "is_serving, longest", [(True, LONGEST_PAUSE), (False, LONGEST_PAUSE_UNSERVED)]
)
def test_one_that_keeps_dying_young_is_replaced_more_and_more_slowly(kept, is_serving, longest):
    pauses = []
    for _ in range(12):
        kept.keeper.child.is_serving = is_serving
        kept.dies()
        (call,) = kept.reactor.getDelayedCalls()
        pauses.append(round(call.getTime() - kept.reactor.seconds(), 6))
        kept.reactor.advance(pauses[-1] + 0.001)
    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] == longest


def test_one_that_hangs_is_killed_and_counted_as_that(kept, killed):
    kept.nursery.forked[-1](4711)
    kept.keeper.child.silence.is_too_long = lambda _pid: True
    kept.keeper.look()
    assert killed == [(4711, signal.SIGKILL)]
    kept.dies()
    assert kept.restarts == {("worker", "hung"): 1}


def test_a_nursery_that_makes_no_child_is_given_up(kept):
    kept.keeper.child.silence.is_too_long = lambda _pid: True
    kept.keeper.look()
    assert kept.nursery.kills == 1


def test_stopping_asks_then_kills_and_replaces_nobody(kept, killed):
    kept.nursery.forked[-1](4711)
    stopped = []
    kept.keeper.stop().addCallback(stopped.append)
    kept.reactor.advance(STOPS_WITHIN)
    assert killed == [(4711, signal.SIGKILL)]
    assert not stopped
    kept.dies()
    assert stopped
    assert kept.told == ["born", "gone"]
    assert kept.restarts == {}


def test_stopping_between_two_children_makes_no_third(kept):
    kept.dies()
    stopped = []
    kept.keeper.stop().addCallback(stopped.append)
    assert stopped
    kept.reactor.advance(60)
    assert kept.told == ["born", "gone"]


ORDER = Prepare(1, Wanted(Corefile(()), 53, "", "", None))


@pytest.mark.parametrize(
    "report, outcome",
    [
        (Prepared(1), None),
        (Refused(1, "what is wrong"), "what is wrong"),
        (None, "a worker ended while it prepared"),
    ],
)
def test_an_agreement_is_kept_refused_or_died_over(kept, report, outcome):
    found = []
    agreement = kept.keeper.child.agree(ORDER, ())
    agreement.addCallbacks(found.append, lambda failure: found.append(failure.value))
    if report is None:
        kept.dies()
    else:
        kept.keeper.child._hear(report)
    (result,) = found
    if outcome is None:
        assert result is None
    else:
        assert isinstance(result, ConfigurationError)
        assert str(result) == outcome


def test_everybody_has_to_be_ready_and_the_first_reason_is_the_word():
    readiness = WorkersReadiness()
    one, two = object(), object()
    for each in (one, two):
        readiness.told(each, (("kubernetes", "services"),))
    assert (readiness.word, readiness.waits_for()) == ("kubernetes", "services")
    readiness.told(one, ())
    assert readiness.waits_for() == "services"
    readiness.told(two, ())
    assert readiness.waits_for() == ""
