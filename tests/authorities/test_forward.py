"""What outlives a question: forwards that start, change their upstreams and end."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from k8sdns import names, records
from k8sdns.answers import AD, RD, Question
from k8sdns.authorities.forward import Forward, ForwardSettings
from k8sdns.authorities.forwardservice import ForwardService, count_legacy
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.destinations import Targets
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.reply import usual_answer
from k8sdns.authorities.upstream.resolvconf import ResolvConf
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.errors import Refused, ServerFailure
from k8sdns.interfaces import IPendingAuthority, IRemoteAuthority, IUpstreams
from k8sdns.metrics import FORWARD_HEALTHCHECK_FAILURES, PROXY_HEALTHCHECK_FAILURES, Metrics
from k8sdns.records import Record
from k8sdns.testing.conversation import reply_to
from k8sdns.testing.network import FakeNetwork, FakeReactor

FIRST, SECOND = Destination("192.0.2.1", 53), Destination("192.0.2.2", 53)


class World:
    def __init__(self, destinations=(FIRST,), word="forward", **settings):
        self.reactor = FakeReactor()
        self.network = FakeNetwork(self.reactor)
        self.metrics = Metrics()
        self.around = Surroundings(self.reactor, self.network, Randomness())
        self.settings = ForwardSettings(policy="sequential", **settings)
        self.forward = Forward(self.settings, destinations, self.around, self.metrics, word=word)

    def ask(self, name="www.example.com"):
        asked = self.forward.answer(Question(names.from_text(name)))
        assert isinstance(asked, Deferred)
        outcomes = []
        asked.addBoth(outcomes.append)
        return outcomes

    def reply(self, **what):
        sent = self.network.sent.popleft()
        sent.source.deliver(reply_to(sent.message, what))


def test_it_is_what_it_says():
    forward = World().forward
    assert verifyObject(IRemoteAuthority, forward)
    assert verifyObject(IPendingAuthority, forward)
    assert verifyObject(IUpstreams, forward)


@pytest.mark.parametrize("force_tcp", [False, True])
def test_the_end_fails_what_is_in_flight_and_leaves_nothing_behind(force_tcp):
    world = World((FIRST, SECOND), force_tcp=force_tcp)
    outcomes = world.ask()
    world.forward.close()
    assert isinstance(outcomes[0], Failure)
    assert outcomes[0].check(ServerFailure)
    world.network.sent.clear()
    world.reactor.pump([1] * 60)
    assert not world.network.sent, "nobody is asked after the end"
    assert not world.network.streams
    assert not world.reactor.readers
    assert not world.reactor.getDelayedCalls()
    assert world.forward.in_flight == 0


def test_new_upstreams_are_asked_and_old_ones_may_finish():
    world = World((FIRST,))
    slow = world.ask("slow.example")
    world.forward.use([SECOND])
    fast = world.ask("fast.example")
    assert [sent.to for sent in world.network.sent] == [FIRST, SECOND]
    world.reply(rcode="NXDOMAIN")
    world.reply(rcode="NXDOMAIN")
    assert slow[0].rcode == fast[0].rcode == 3
    world.reactor.pump([1] * 20)
    assert not world.reactor.readers


def test_upstreams_that_stay_keep_their_health():
    world = World((FIRST, SECOND))
    member = world.forward.members[1]
    world.forward.use([SECOND])
    assert world.forward.members == [member]


def test_a_question_that_nobody_waits_for_any_more_ends_quietly():
    world = World()
    asked = world.forward.answer(Question(names.from_text("www.example.com")))
    asked.addErrback(lambda _: None)
    asked.cancel()
    world.reply(rcode="NXDOMAIN")
    assert world.forward.in_flight == 0


def test_failures_are_no_garbage_that_twisted_complains_of():
    world = World(max_fails=0)
    outcomes = world.ask()
    world.reactor.pump([0.5] * 20)
    assert outcomes[0].check(ServerFailure)
    del outcomes
    gc.collect()


def test_questions_in_flight_are_bounded_though_nobody_says_so(monkeypatch):
    monkeypatch.setattr("k8sdns.authorities.forward.MAX_IN_FLIGHT", 3)
    world = World()
    for number in range(3):
        world.ask(f"n{number}.example")
    with pytest.raises(Refused, match="concurrent queries exceeded maximum 3"):
        world.forward.answer(Question(names.from_text("n4.example")))


def test_a_service_counts_from_start_to_stop_and_no_longer():
    world = World()
    service = ForwardService(
        world.settings, Targets((FIRST,)), ResolvConf(), world.around, world.metrics
    )
    service.startService()
    asked = service.forward.answer(Question(names.from_text("www.example.com")))
    asked.addErrback(lambda failure: failure.trap(ServerFailure))
    world.metrics.refresh()
    totals = {metric.name: sum(c.values()) for metric, c in world.metrics.counts.items()}
    assert totals["coredns_proxy_conn_cache_misses_total"] == 1
    service.stopService()
    assert world.metrics._before_scrape == []


def test_an_upstream_that_is_closed_under_a_question_does_not_leave_it_waiting():
    """Else whoever asks the same later would wait for the reply that cannot come."""
    world = World((FIRST,), max_connect_attempts=0, max_fails=0)
    outcomes = world.ask()
    world.forward.use([SECOND])
    world.reactor.pump([0.1] * 60)
    assert outcomes[0].check(ServerFailure)
    assert world.forward.in_flight == 0
    world.network.sent.clear()
    again = world.ask()
    world.reply(rcode="NXDOMAIN")
    assert again[0].rcode == 3


def test_news_that_nobody_listens_end_a_question_also_as_reactors_bring_them():
    """An ICMP error alone wakes epoll as a broken descriptor does, not as one to read."""
    world = World((FIRST, SECOND), max_fails=0)
    outcomes = world.ask()
    first = world.network.sent.popleft()
    reader = world.reactor.readers[first.source.fileno()]
    first.source._inbox.append(ConnectionRefusedError(111, "Connection refused"))
    world.reactor.removeReader(reader)
    reader.connectionLost(Failure(ConnectionLost()))
    assert world.network.sent[0].to == SECOND
    world.reply(rcode="NXDOMAIN")
    assert outcomes[0].rcode == 3
    assert first.source.is_closed


def test_failed_probes_are_counted_under_both_names():
    world = World()
    world.ask()
    world.reactor.pump([0.5] * 30)
    failures = world.metrics.counter(PROXY_HEALTHCHECK_FAILURES)["forward", "192.0.2.1:53"]
    assert failures == world.forward.members[0].health.fails > 1
    count_legacy(world.metrics)
    assert world.metrics.counter(FORWARD_HEALTHCHECK_FAILURES)["192.0.2.1:53",] == failures


@pytest.mark.parametrize("labels", [{"view/name": "a"}, {}, None])
def test_who_replied_is_known_to_questions_that_have_labels(labels):
    world = World((FIRST, SECOND), failover=frozenset({2}))
    question = Question(names.from_text("www.example.com"))
    question.metadata = None if labels is None else dict(labels)
    others = world.ask()
    world.forward.answer(question)
    world.reply(rcode="SERVFAIL")
    world.reply(rcode="NXDOMAIN")
    assert others[0].rcode == 3
    expected = None if labels is None else {**labels, "forward/upstream": "192.0.2.2:53"}
    assert question.metadata == expected


class Keeper:
    """Makes of an answer what a cache would; of `bad` it makes an exception."""

    def __init__(self):
        self.kept = []
        self.error = ValueError("a bug")

    def came(self, answer, question, key):
        self.kept.append((question, key))
        if key == "bad":
            raise self.error
        return answer.replace(source=key)

    def came_usual(self, flags, shape, body, question, key):
        return self.came(usual_answer(flags, shape, body, question.qname), question, key)


USUAL = {"answer": ["www.example.com. 300 A 192.0.2.7"]}


@pytest.mark.parametrize("reply", [{"rcode": "NXDOMAIN"}, USUAL], ids=["any", "usual"])
def test_what_the_cache_makes_of_a_reply_is_told_and_its_bugs_cost_one_question(reply):
    world = World()
    question = Question(names.from_text("www.example.com"))
    told, keeper = [], Keeper()
    for key in ("first", "bad", "second"):
        pending = world.forward.begin_with(question, AD | RD)
        pending.keeper, pending.key = keeper, key
        pending.deferred().addBoth(told.append)
    world.reply(**reply)
    assert keeper.kept == [(question, "first"), (question, "bad"), (question, "second")]
    assert [each.value if isinstance(each, Failure) else each.source for each in told] == [
        "first",
        keeper.error,
        "second",
    ]
    assert world.forward.in_flight == 0


@pytest.mark.parametrize("reply", [{"rcode": "NXDOMAIN"}, USUAL], ids=["any", "usual"])
def test_a_reply_is_kept_though_its_client_gave_up(reply):
    world = World()
    question = Question(names.from_text("www.example.com"))
    pending = world.forward.begin_with(question, AD | RD)
    pending.keeper, pending.key = keeper, key = Keeper(), "key"
    asked = pending.deferred()
    asked.addErrback(lambda _: None)
    asked.cancel()
    world.reply(**reply)
    assert keeper.kept == [(question, key)]


@pytest.mark.parametrize("word", ["forward", "proxy"])
def test_a_usual_reply_is_an_answer_like_any_other(word):
    world = World(word=word)
    outcomes = world.ask()
    world.reply(**USUAL)
    (answer,) = outcomes
    assert answer.source == word
    assert answer.answer == (
        Record(names.from_text("www.example.com"), records.A, 300, bytes([192, 0, 2, 7])),
    )


def test_one_that_was_left_out_is_reached_all_the_same_and_may_be_taken_back():
    world = World((FIRST, SECOND))
    world.forward.leave_out("192.0.2.1:53")
    assert world.forward.upstreams() == ("192.0.2.1:53", "192.0.2.2:53")
    world.ask()
    assert world.network.sent.popleft().to == SECOND
    reached = []
    world.forward.reach("192.0.2.1:53", names.from_text("a.example"), 13).addCallback(
        reached.append
    )
    assert world.network.sent[0].to == FIRST
    world.reply(rcode="NXDOMAIN")
    assert reached == [True]
    world.forward.take_back("192.0.2.1:53")
    world.ask("www.example.net")
    assert world.network.sent.popleft().to == FIRST


@pytest.mark.parametrize("answers", [False, True])
def test_reaching_one_that_was_left_out_leaves_nothing_behind(answers):
    world = World((FIRST, SECOND))
    world.forward.leave_out("192.0.2.1:53")
    world.reactor.pump([1] * 10)
    world.forward.reach("192.0.2.1:53", names.from_text("a.example"), 13)
    if answers:
        world.reply(rcode="NXDOMAIN")
        world.reactor.advance(0)
    else:
        world.forward.close()
        world.reactor.advance(0)
    assert not world.reactor.readers
    assert not world.reactor.getDelayedCalls()


def test_who_watches_is_told_of_changes_until_the_watch_ends():
    world = World((FIRST,))
    told = []
    unwatch = world.forward.watch(lambda: told.append(world.forward.upstreams()))
    world.forward.use([SECOND])
    world.forward.leave_out("192.0.2.2:53")
    assert told == [("192.0.2.2:53",)]
    unwatch()
    world.forward.use([FIRST])
    assert len(told) == 1
