"""Orders of addresses: weights and preferred networks."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, strategies as st
from twisted.internet.task import Clock

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.loadbalance import (
    AddressOrder,
    BadWeights,
    Preferred,
    Shuffled,
    Weighted,
    WeightFile,
    read_weights,
)
from k8sdns.authorities.polling import finished

WWW = names.from_text("www.example.org")
WEIGHTS = """# the weights of a test
www.example.org
192.0.2.1 3   # three times as often
192.0.2.2 1

2001.example.org.
2001:db8::1 255
"""


def address(last, owner=WWW):
    return records.address(owner, f"192.0.2.{last}", 5)


def file_of(tmp_path, text, *, clock=None, period=30.0):
    path = tmp_path / "weights"
    path.write_text(text)
    return WeightFile(clock or Clock(), str(path), period)


def firsts(order, addresses, times=3000):
    stage = AddressOrder(order)
    answer = Answer(tuple(addresses))
    return Counter(
        stage.respond(Question(WWW), lambda _: answer).answer[0].rdata[-1] for _ in range(times)
    )


def test_an_address_comes_first_as_often_as_it_weighs(tmp_path):
    weighted = Weighted(file_of(tmp_path, WEIGHTS), random.Random(1))
    found = firsts(weighted, [address(1), address(2), address(9)])
    assert 1600 < found[1] < 2000
    assert 450 < found[2] < 750
    assert 450 < found[9] < 750


def test_weights_belong_to_a_name(tmp_path):
    weighted = Weighted(file_of(tmp_path, WEIGHTS), random.Random(1))
    other = names.from_text("other.example.org")
    found = firsts(weighted, [address(1, other), address(2, other)])
    assert 1300 < found[1] < 1700


def test_a_shuffle_puts_each_first_equally_often():
    found = firsts(Shuffled(random.Random(1)), [address(n) for n in range(3)])
    assert all(850 < count < 1150 for count in found.values())


def test_preferred_networks_come_first_in_their_order():
    import ipaddress

    networks = [ipaddress.ip_network(each) for each in ("198.51.100.0/24", "192.0.2.2/32")]
    order = Preferred(networks, list)
    far = records.address(WWW, "198.51.100.7", 5)
    six = records.address(WWW, "2001:db8::1", 5)
    assert order([six, address(1), address(2), far]) == [far, address(2), six, address(1)]


@given(st.permutations(["cname", "txt", 1, 2, 3]), st.booleans())
def test_only_addresses_change_places(layout, in_additional):
    made = {
        "cname": records.Record(WWW, records.CNAME, 5, WWW),
        "txt": records.txt(WWW, (b"x",), 5),
    }
    section = tuple(made.get(each) or address(each) for each in layout)
    answer = Answer(additional=section) if in_additional else Answer(section)
    found = AddressOrder(lambda each: each[::-1]).respond(Question(WWW), lambda _: answer)
    ordered = found.additional if in_additional else found.answer
    assert sorted(ordered) == sorted(section)
    for before, after in zip(section, ordered, strict=True):
        assert before == after or before.rtype == after.rtype == records.A


@pytest.mark.parametrize(
    "answer", [Answer(), Answer((address(1),)), Answer((address(1), address(2)), rcode=3)]
)
def test_what_needs_no_order_stays_the_same_object(answer):
    assert AddressOrder(Shuffled()).respond(Question(WWW), lambda _: answer) is answer


def test_weights_are_for_addresses_and_services_alone(tmp_path):
    stage = AddressOrder.weighted(lambda each: each[::-1])
    answer = Answer(additional=(address(1), address(2)))
    for qtype, is_ordered in ((records.SRV, True), (records.MX, False)):
        found = stage.respond(Question(WWW, qtype), lambda _: answer)
        assert (found is not answer) == is_ordered


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.1 3", ":1 - an address needs a name"),
        ("www\n192.0.2.1 0", ":2 - wrong weight value '0'"),
        ("www\n192.0.2.1 256", "wrong weight value"),
        ("www\n192.0.2.1 many", "wrong weight value"),
        ("www\n192.0.2 1", "does not appear to be an IPv4 or IPv6 address"),
        ("www\n192.0.2.1 1 2", "an address and its weight"),
        ("a..b", "empty label"),
    ],
)
def test_mistakes_in_the_file_name_their_line(tmp_path, text, says):
    path = tmp_path / "weights"
    path.write_text(text)
    with pytest.raises(BadWeights) as caught:
        finished(read_weights(str(path)))
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_the_file_is_read_again_when_it_changes(tmp_path):
    clock = Clock()
    file = file_of(tmp_path, "www\n192.0.2.1 1\n", clock=clock)
    file.startService()
    www, octets = names.from_text("www"), b"\xc0\x00\x02\x01"
    (tmp_path / "weights").write_text("www\n192.0.2.1 77\n")
    clock.advance(31)
    assert file.weights[www][octets] == 77
    (tmp_path / "weights").write_text("nonsense of several words\n")
    clock.advance(31)
    assert file.weights[www][octets] == 77
    (tmp_path / "weights").unlink()
    clock.advance(31)
    assert file.weights[www][octets] == 77
    file.stopService()
    assert clock.getDelayedCalls() == []


def test_a_missing_file_is_waited_for(tmp_path):
    clock = Clock()
    file = WeightFile(clock, str(tmp_path / "weights"), 30.0)
    file.startService()
    assert file.weights == {}
    (tmp_path / "weights").write_text("www\n192.0.2.1 7\n")
    clock.advance(31)
    assert file.weights
    file.stopService()


def test_a_large_file_is_read_in_slices_even_if_never_again(tmp_path):
    clock = Clock()
    lines = "".join(f"n{n}.example.org\n192.0.2.1 7\n" for n in range(6000))
    file = file_of(tmp_path, lines, clock=clock, period=0)
    assert file.weights == {}
    file.startService()
    clock.pump([0.01] * 20)
    assert len(file.weights) == 6000
    assert clock.getDelayedCalls() == []
