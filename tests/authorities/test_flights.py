"""Whatever upstreams do, everybody is told once, and nothing is left behind."""

from __future__ import annotations

from hypothesis import given, strategies as st
from twisted.python.failure import Failure

from k8sdns import names
from k8sdns.answers import AD, RD, Answer, Question
from k8sdns.authorities.forward import Forward, ForwardSettings
from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.metrics import PROXY_DURATION, Metrics
from k8sdns.testing.conversation import reply_to
from k8sdns.testing.network import FakeNetwork, FakeReactor

DESTINATIONS = (Destination("192.0.2.1", 53), Destination("192.0.2.2", 53))
SEVERAL = [f"n{number}.example" for number in range(4)]


def usual(sent):
    return reply_to(sent.message, {"answer": ["n0.example. 300 A 192.0.2.7"]})


# What becomes of a query, by word.
FATES = {
    "usual": lambda sent: [usual(sent)],
    "denied": lambda sent: [reply_to(sent.message, {"rcode": "NXDOMAIN"})],
    "failed over": lambda sent: [reply_to(sent.message, {"rcode": "SERVFAIL"})],
    "truncated": lambda sent: [reply_to(sent.message, {"flags": ["TC", "RA"]})],
    "edns refused": lambda sent: [reply_to(sent.message, {"rcode": "FORMERR", "header": True})],
    "another question": lambda sent: [reply_to(sent.message, {"question": "x.example. A"})],
    "guessed and usual": lambda sent: [reply_to(sent.message, {"id": "wrong"}), usual(sent)],
    "many guesses": lambda sent: [reply_to(sent.message, {"id": "wrong"})] * 9,
    "twice": lambda sent: [usual(sent), usual(sent)],
    "unreachable": lambda sent: [ConnectionRefusedError()] if sent.over == "udp" else [],
    "cut": lambda sent: [usual(sent)[:-3]],
    "lost": lambda _sent: [],
}
steps = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3)),
    st.tuples(st.sampled_from(sorted(FATES)), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 2, 3])),
    st.tuples(st.just("give up"), st.integers(0, 9)),
)


class Listener:
    """Hears what becomes of its question."""

    def __init__(self):
        self.heard_of = []

    def heard(self, _pending, outcome):
        self.heard_of.append(outcome)


def happens(network, word, number):
    """Let something become of one of the queries that are under way."""
    if network.sent:
        network.sent.rotate(-number)
        sent = network.sent.popleft()
        for thing in FATES[word](sent):
            if sent.over == "udp" or not sent.source.is_closed:
                sent.source.deliver(thing)


@given(st.lists(steps, max_size=40), st.sampled_from(["sequential", "random"]))
def test_everybody_is_told_once_and_nothing_is_left(actions, policy):
    reactor = FakeReactor()
    network = FakeNetwork(reactor)
    settings = ForwardSettings(policy=policy, failover=frozenset({2}))
    around = Surroundings(reactor, network, Randomness())
    metrics = Metrics()
    forward = Forward(settings, DESTINATIONS, around, metrics)
    asked = []
    for word, number in actions:
        if word == "ask":
            pending = forward.begin_with(Question(names.from_text(SEVERAL[number])), AD | RD)
            asked.append((pending, Listener()))
            pending.listener = asked[-1][1]
        elif word == "wait":
            reactor.advance(number)
        elif word == "give up" and asked:
            asked[number % len(asked)][0].cancel()
        elif word in FATES:
            happens(network, word, number)
    reactor.pump([0.5] * 40)
    assert all(len(listener.heard_of) == 1 for _, listener in asked)
    assert all(isinstance(each.heard_of[0], (Answer, Failure)) for _, each in asked)
    assert forward.in_flight == 0
    forward.flights.fold()
    replies = sum(map(sum, metrics.histogram(PROXY_DURATION).counts.values()))
    assert replies <= len(actions)
    forward.close()
    assert not reactor.readers
    assert not reactor.getDelayedCalls()
    assert [member.upstream.in_flight for member in forward.members] == [0, 0]
    assert [len(member.upstream.waitlist) for member in forward.members] == [0, 0]
