"""A server block: the order of things, and what failures become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question
from k8sdns.errors import Refused, ServerFailure
from k8sdns.interfaces import IAuthority, IObserver, IPendingAuthority, IStage
from k8sdns.metrics import Counts
from k8sdns.server.block import ServerBlock
from k8sdns.waiting import Pending, then

NAME = names.from_text("www.example.org")


@implementer(IAuthority)
class Says:
    """An authority that says always the same: an Answer, None, a Deferred, or raises."""

    def __init__(self, what: Any, word: str = "says") -> None:
        self.what = what
        self.word = word
        self.asked: list[bytes] = []

    def answer(self, question: Question) -> Any:
        self.asked.append(question.qname)
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


def answered(block: ServerBlock, question: Question | None = None) -> Any:
    return block.respond(question or Question(NAME))


def an_answer(last: int = 1) -> Answer:
    return Answer((records.address(NAME, f"192.0.2.{last}", 5),))


def test_the_first_authority_that_knows_answers() -> None:
    first, second = Says(None), Says(an_answer())
    third = Says(an_answer(3))
    block = ServerBlock([first, second, third], Counts(), ["a", "b"])
    assert answered(block) is second.what
    assert (first.asked, third.asked) == ([NAME], [])


def test_an_authority_that_was_waited_for_can_pass_the_question_on() -> None:
    waited: Deferred[Answer | None] = Deferred()
    last = Says(an_answer())
    block = ServerBlock([Says(waited), Says(None), last], Counts(), ["a"])
    results: list[Answer] = []
    answered(block).addCallback(results.append)
    assert results == []
    waited.callback(None)
    assert results == [last.what]


@implementer(IPendingAuthority)
class Waits(Says):
    """An authority whose answers a Pending is made of."""

    def begin(self, question: Question) -> Pending:
        self.asked.append(question.qname)
        self.pending = Pending(question)
        return self.pending


class BeginsOtherwise(Says):
    """An authority with a method of that name that is about something else."""

    def begin(self) -> None:
        raise AssertionError("nobody said that this answers questions")


@pytest.mark.parametrize("place", [0, 1])
def test_a_pending_is_waited_for_wherever_its_authority_stands(place: int) -> None:
    waits, after = Waits(None), Says(an_answer(2))
    things = [Says(None), after]
    things.insert(place, waits)
    results: list[Answer] = []
    answered(ServerBlock(things, Counts(), ["a"])).addCallback(results.append)
    told = an_answer()
    waits.pending.tell(told)
    waits.pending.tell(an_answer(3))
    assert results == [told]
    assert after.asked == []


def test_a_pending_that_was_told_already_is_an_answer() -> None:
    class Knows(Waits):
        def begin(self, question: Question) -> Pending:
            pending = super().begin(question)
            pending.tell(self.what)
            return pending

    knows = Knows(an_answer())
    results: list[Answer] = []
    answered(ServerBlock([knows], Counts(), ["a"])).addCallback(results.append)
    assert results == [knows.what]


def test_a_method_of_that_name_is_no_promise() -> None:
    authority = BeginsOtherwise(an_answer())
    assert answered(ServerBlock([authority], Counts(), ["a"])) is authority.what


@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("error", "rcode", "bugs"),
    [(Refused("too many"), 5, 0), (ServerFailure("no upstream"), 2, 0), (KeyError("oops"), 2, 1)],
)
def test_failures_become_their_rcode(error: Exception, rcode: int, bugs: int, late: bool) -> None:
    panics = Counts()
    waited: Deferred[Answer] = Deferred()
    block = ServerBlock([Says(waited if late else error)], panics, ["a"])
    results: list[Answer] = []
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        then(answered(block), results.append)
        if late:
            waited.errback(error)
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert results[0].rcode == rcode
    assert results[0].error is not None
    assert panics[()] == bugs
    assert len([event for event in logged if "log_failure" in event]) == bugs


def test_nobody_knowing_is_a_server_failure_that_names_the_last_word() -> None:
    result = answered(ServerBlock([Says(None)], Counts(), ["errors", "hosts"]))
    assert result.rcode == records.SERVFAIL
    assert str(result.error) == "plugin/hosts: no next plugin found"


def test_words_that_answer_nothing_are_not_named_as_the_last() -> None:
    words = ["errors", "template", "view"]
    result = answered(ServerBlock([Says(None, "template")], Counts(), words))
    assert str(result.error) == "plugin/template: no next plugin found"


@implementer(IStage)
class Stage:
    """A stage made of one function."""

    def __init__(self, respond: Callable[[Question, Any], Any]) -> None:
        self.respond = respond


def test_stages_stand_around_each_other_in_order() -> None:
    seen: list[str] = []

    def stage(name: str) -> Stage:
        def respond(question: Question, rest: Any) -> Any:
            seen.append(f"{name} in")

            def out(answer: Answer) -> Answer:
                seen.append(f"{name} out")
                return answer

            return then(rest(question), out)

        return Stage(respond)

    block = ServerBlock([stage("outer"), stage("inner"), Says(an_answer())], Counts(), ["a"])
    answered(block)
    assert seen == ["outer in", "inner in", "inner out", "outer out"]


def test_a_stage_can_answer_by_itself_or_stay_silent() -> None:
    below = Says(an_answer())
    block = ServerBlock([Stage(lambda _q, _rest: SILENT), below], Counts(), ["a"])
    assert answered(block) is SILENT
    assert below.asked == []


def test_a_stage_sees_failures_below_as_answers() -> None:
    def respond(question: Question, rest: Any) -> Any:
        return then(rest(question), lambda answer: answer.replace(rcode=records.NXDOMAIN))

    block = ServerBlock([Stage(respond), Says(ServerFailure("down"))], Counts(), ["a"])
    assert answered(block).rcode == records.NXDOMAIN


def test_a_bug_in_a_stage_costs_that_query_only() -> None:
    def respond(question: Question, _rest: Any) -> Any:
        return question.nonsense  # type: ignore[attr-defined]

    panics = Counts()
    block = ServerBlock([Stage(respond), Says(an_answer())], panics, ["a"])
    assert answered(block).rcode == records.SERVFAIL
    assert panics[()] == 1


@implementer(IStage)
class Returns:
    """A stage that returns what no stage may."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def respond(self, _question: Question, _rest: Any) -> Any:
        return self.what


@pytest.mark.parametrize("nonsense", [None, "no answer at all", 7])
def test_what_is_no_answer_is_a_bug_and_goes_no_further(nonsense: Any) -> None:
    panics = Counts()
    block = ServerBlock([Returns(nonsense)], panics, ["a"])
    assert answered(block).rcode == records.SERVFAIL
    if nonsense is not None:  # from an authority None means that the next one is asked
        block = ServerBlock([Says(nonsense)], panics, ["a"])
        assert answered(block).rcode == records.SERVFAIL
    assert sum(panics.values()) == 1 + (nonsense is not None)


def test_things_are_filed_under_what_they_provide() -> None:
    @implementer(IObserver)
    class Watcher:
        def saw(self, question: Question, answer: Answer, elapsed: float, size: int) -> None: ...

    watcher = Watcher()
    block = ServerBlock([watcher, Says(None)], Counts(), ["a"])
    assert block.all(IObserver) == [watcher]
    assert block.observers == (watcher.saw,)
