"""Rules over clients and types: the first that applies decides."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.acl import AccessControl, Networks, Policy, Rule

ORG = names.from_text("example.org")
SUB = names.from_text("sub.example.org")


def networks(*texts):
    return Networks(ipaddress.ip_network(text) for text in texts)


def ask(rules, client="192.0.2.1", name="www.example.org", qtype=records.A):
    question = Question(names.from_text(name), qtype)
    question.address = (client, 5)
    return AccessControl(rules).verdict(question)


def test_what_no_rule_is_about_is_allowed():
    rules = [Rule((SUB,), (Policy("block"),))]
    assert ask(rules).action == "allow"
    assert ask(rules, name="a.sub.example.org") == ("block", SUB)
    assert ask(rules, name="asub.example.org").action == "allow"


def test_a_rule_without_a_match_goes_on_to_the_next():
    rules = [
        Rule((ORG,), (Policy("block", frozenset({records.MX})),)),
        Rule((ORG,), (Policy("drop"),)),
    ]
    assert ask(rules, qtype=records.MX).action == "block"
    assert ask(rules).action == "drop"


def test_the_first_policy_that_applies_decides():
    policies = (Policy("allow", None, networks("192.0.2.0/25")), Policy("filter"))
    assert ask([Rule((ORG,), policies)]).action == "allow"
    assert ask([Rule((ORG,), policies)], "192.0.2.200").action == "filter"


@pytest.mark.parametrize("client", ["", "nonsense", "1.2.3", "fe80::z%eth0"])
def test_a_client_that_cannot_be_told_is_blocked(client):
    assert ask([Rule((ORG,), (Policy("allow"),))], client).action == "block"


@pytest.mark.parametrize(
    ("client", "is_held"),
    [
        ("192.0.2.77", True),
        ("::ffff:192.0.2.77", True),
        ("192.0.3.1", False),
        ("fe80::1%eth0", True),
        ("2001:db8::1", False),
        ("0.0.2.77", False),
    ],
)
def test_both_families_are_matched_apart(client, is_held):
    rules = [Rule((ORG,), (Policy("block", None, networks("192.0.2.0/24", "fe80::/10")),))]
    assert (ask(rules, client).action == "block") == is_held


ADDRESSES = st.ip_addresses()


@given(ADDRESSES, st.lists(st.tuples(ADDRESSES, st.integers(0, 128)), max_size=6))
def test_networks_hold_what_the_standard_library_says(address, drawn):
    found = [
        ipaddress.ip_network((net, min(length, net.max_prefixlen)), strict=False)
        for net, length in drawn
    ]
    expected = any(address.version == net.version and address in net for net in found)
    assert Networks(found).holds(address.packed) == expected
