"""However many questions end at one moment, no turn of the reactor ends more than a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.authorities import flight
from k8sdns.authorities.forward import Forward, ForwardSettings
from k8sdns.authorities.upstream import stream, waitlist
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.authorities.upstream.waitlist import Waitlist
from k8sdns.errors import ServerFailure
from k8sdns.metrics import Metrics
from k8sdns.server import deadlines
from k8sdns.server.deadlines import Deadlines
from k8sdns.testing.conversation import reply_to
from k8sdns.testing.network import FakeNetwork, FakeReactor

MANY = 500


class Turns(FakeReactor):
    """A clock that counts what is done in each of its calls, and in between (the first count)."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = [0]

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Count from 0 when the call comes."""

        def counted(*args: Any, **kw: Any) -> None:
            self.counts.append(0)
            call(*args, **kw)

        return super().callLater(delay, counted, *args, **kw)

    def did(self, *_what: Any) -> None:
        """Count."""
        self.counts[-1] += 1


class Waiter:
    def __init__(self, turns: Turns) -> None:
        self.timed_out = turns.did


def test_what_expires_together_expires_a_few_a_turn() -> None:
    turns = Turns()
    waiting = Waitlist(turns, 2.0)
    for _ in range(MANY):
        waiting.add(Waiter(turns))
    turns.advance(2)
    assert sum(turns.counts) == MANY
    assert max(turns.counts) == waitlist.TOGETHER
    assert not turns.getDelayedCalls()


@pytest.mark.parametrize("asks_again", [False, True])
def test_deadlines_that_pass_together_pass_a_few_a_turn(asks_again: bool) -> None:
    turns = Turns()
    table = Deadlines(turns, 5.0)

    def cancelled(_failure: Failure) -> None:
        turns.did()
        if asks_again:
            table.begin(Deferred())

    for _ in range(MANY):
        table.watch(Deferred()).addErrback(cancelled)
    turns.advance(5)
    assert sum(turns.counts) == MANY
    assert max(turns.counts) == deadlines.TOGETHER
    assert len(turns.getDelayedCalls()) == int(asks_again)
    turns.advance(6)
    assert len(table) == 0


def _forward(turns: Turns, **settings: Any) -> tuple[Forward, FakeNetwork]:
    network = FakeNetwork(turns)
    around = Surroundings(turns, network, Randomness())
    upstreams = [Destination("192.0.2.1", 53)]
    return Forward(ForwardSettings(max_fails=0, **settings), upstreams, around, Metrics()), network


def _ask(forward: Forward, name: str, told: Callable[[Any], Any]) -> None:
    asked = forward.answer(Question(names.from_text(name)))
    assert isinstance(asked, Deferred)
    asked.addBoth(told)


@pytest.mark.parametrize("is_answered", [False, True])
def test_those_who_asked_the_same_are_told_a_few_a_turn(is_answered: bool) -> None:
    turns = Turns()
    forward, network = _forward(turns, max_connect_attempts=1)
    answers: list[Any] = []

    def told(answer: Any) -> None:
        answers.append(answer)
        turns.did()

    for _ in range(MANY):
        _ask(forward, "www.example.com", told)
    (sent,) = network.sent
    if is_answered:
        sent.source.deliver(reply_to(sent.message, {"rcode": "NXDOMAIN"}))
        turns.advance(0)
        assert {answer.rcode for answer in answers} == {3}
    else:
        turns.advance(2)
        assert all(answer.check(ServerFailure) for answer in answers)
    assert len(answers) == MANY
    assert max(turns.counts) == flight.TOGETHER
    assert forward.in_flight == 0


def test_a_lost_connection_passes_a_few_attempts_on_a_turn() -> None:
    """Some are out of time when their turn comes: nobody asks for them again."""
    turns = Turns()
    forward, network = _forward(turns, force_tcp=True, max_connect_attempts=1)
    outcomes: list[Any] = []
    for number in range(MANY):
        _ask(forward, f"n{number}.example.com", outcomes.append)
    network.refusing = {"192.0.2.1"}
    busiest = max(network.streams, key=lambda each: each._protocol.in_flight)
    waiting = busiest._protocol.in_flight
    assert waiting > 2 * stream.TOGETHER
    busiest.hang_up()
    ended_at_once = len(outcomes)
    assert ended_at_once <= stream.TOGETHER
    turns.advance(0)
    assert len(outcomes) == waiting
    turns.advance(3)
    assert len(outcomes) == MANY
    assert forward.in_flight == 0
