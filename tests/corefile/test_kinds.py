"""Single words as values, and what is said about words that are none."""

from __future__ import annotations

import os

import pytest

from k8sdns.corefile import kinds
from k8sdns.corefile.durations import go_duration, seconds
from k8sdns.corefile.kinds import Context, Listen
from k8sdns.corefile.lexer import Token
from k8sdns.names import ROOT, BadName, from_text


def value(kind, text, context=None):
    return kind.convert(Token(text, "Corefile", 1, first=False), context or Context("word"))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (kinds.text(), "x", "x"),
        (kinds.integer(), "-4", -4),
        (kinds.integer(0, 3600), "3600", 3600),
        (kinds.number(0), "50.0", 50.0),
        (kinds.duration(), "1m30s", 90.0),
        (kinds.duration(bare_seconds=True), "5", 5.0),
        (kinds.choice("on", "off"), "off", "off"),
        (kinds.zone(), "Example.org:53", from_text("example.org")),
        (
            kinds.zones(),
            "10.0.0.0/15",
            (from_text("0.10.in-addr.arpa"), from_text("1.10.in-addr.arpa")),
        ),
        (kinds.domain(), ".", ROOT),
        (kinds.ip(), "2001:DB8:0::1", "2001:db8::1"),
        (kinds.ip(), "fe80::1%eth0", "fe80::1%eth0"),
        (kinds.address(53), "192.0.2.1", ("192.0.2.1", 53)),
        (kinds.address(53), "192.0.2.1:54", ("192.0.2.1", 54)),
        (kinds.address(53), "2001:db8::1", ("2001:db8::1", 53)),
        (kinds.address(53), "[2001:db8::1]", ("2001:db8::1", 53)),
        (kinds.address(53), "[2001:db8::1]:54", ("2001:db8::1", 54)),
        (kinds.listen(), ":8080", Listen("", 8080)),
        (kinds.listen(), "localhost:9153", Listen("localhost", 9153)),
        (kinds.listen(), "[::1]:9153", Listen("::1", 9153)),
        (kinds.listen(), "unix:/run/x.sock", Listen("", 0, "unix:/run/x.sock")),
        (kinds.listen(), "tcp:8080:interface=\\:\\:1", Listen("", 0, "tcp:8080:interface=\\:\\:1")),
        (kinds.path(), "/etc/x", "/etc/x"),
    ],
)
def test_values(kind, text, expected):
    assert value(kind, text) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (kinds.integer(0, 3600), "3601", "'3601' is not an integer from 0 to 3600"),
        (kinds.integer(1), "0", "'0' is not an integer of at least 1"),
        (kinds.integer(), "many", "'many' is not an integer"),
        (kinds.integer(), "٣", "is not an integer"),
        (kinds.integer(), "1" * 5000, "is not an integer"),
        (kinds.number(0), "-10", "'-10' is not a number of at least 0"),
        (kinds.number(), "inf", "'inf' is not a number"),
        (kinds.number(), "nan", "'nan' is not a number"),
        (kinds.duration(), "20", "'20' is not a duration such as 5s or 1m30s"),
        (
            kinds.duration(0, 300),
            "20m",
            "'20m' is not a duration such as 5s or 1m30s from 0s to 5m",
        ),
        (kinds.choice("insecure", "verified"), "verify", "did you mean 'verified'?"),
        (
            kinds.choice("a", "b", complaint="wrong value for pods: {}"),
            "zz",
            "wrong value for pods: zz; one of a, b",
        ),
        (
            kinds.choice("a", "b", complaint="{} is neither of a, b"),
            "zz",
            "zz is neither of a, b",
        ),
        (kinds.zone(), "a..b", "zone is not a valid domain name: a..b"),
        (kinds.domain(), "a..b", "'a..b' is not a valid domain name"),
        (kinds.ip(), "localhost", "'localhost' is not an IP address"),
        (kinds.address(53), "192.0.2.1:65536", "is not an IP address with or without a port"),
        (kinds.address(53), "dns.example", "is not an IP address with or without a port"),
        (kinds.listen(), "localhost", "'localhost' is not an address to listen on"),
        (kinds.listen(), ":65536", "is not an address to listen on"),
        (kinds.path(), "", "a path cannot be empty"),
        (kinds.regex(), "([", "could not parse regex '(['"),
        (kinds.regex(), "a" * 10_001, "regex pattern too long: 10001 > 10000"),
    ],
)
def test_complaints(kind, text, message):
    with pytest.raises((ValueError, BadName)) as caught:
        value(kind, text)
    assert message in str(caught.value)


def test_zones_that_are_none_are_dropped_with_a_warning():
    context = Context("cache")
    assert value(kinds.zones(), "a..b", context) == ()
    assert context.warnings[0].startswith("Corefile:1 - plugin/cache: 'a..b' is ignored: zone is")


def test_one_zone_of_a_range_is_taken_with_a_warning():
    context = Context("forward")
    assert value(kinds.zone(), "10.0.0.0/15", context) == from_text("0.10.in-addr.arpa")
    assert "expands to multiple zones. Using only '0.10.in-addr.arpa.'" in context.warnings[0]


def test_relative_paths_start_from_the_root_of_the_block(tmp_path):
    assert value(kinds.path(), "a/b", Context("file", root=str(tmp_path))) == f"{tmp_path}/a/b"
    assert value(kinds.path(), "a/b", Context("file")) == os.path.abspath("a/b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("5s", 5.0),
        ("500ms", 0.5),
        ("1h2m3.5s", 3723.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("+1m", 60.0),
        ("-1m", -60.0),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("10μs", 1e-5),
        ("1ns", 1e-9),
    ],
)
def test_durations(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "1d", "1s1", ".s", "1e3s", "9" * 61 + "h"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0s"), (5, "5s"), (0.5, "0.5s"), (60, "1m"), (90, "1m30s"), (3600, "1h"), (-1, "-1s")],
)
def test_durations_are_shown_as_they_are_written(value, text):
    assert go_duration(value) == text
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^a[.]b\z", "a.b", True),
        (r"^a\z", "a\n", False),
        (r"^[[:alpha:]]+$", "abc", True),
        (r"^[[:alpha:][:digit:]]+$", "a1", True),
        (r"^[^[:space:]]+$", "a b", False),
        (r"^\\z$", r"\z", True),
        (r"(?i)^A$", "a", True),
        (r"(?P<x>a)", "a", True),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern, text, matches):
    assert bool(value(kinds.regex(), pattern).search(text)) is matches
