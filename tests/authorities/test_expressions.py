"""Expressions: what they mean, what is refused when they are read, and that nothing gets out."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from k8sdns import records
from k8sdns.answers import Edns, Question
from k8sdns.authorities.expressionfunctions import FUNCTIONS
from k8sdns.authorities.expressions import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_WORDS,
    BadExpression,
    Expression,
)


def question(**fields):
    found = Question(b"\x03Www\x07example\x03org\x00", records.AAAA)
    found.message = (42).to_bytes(2, "big") + bytes(31)
    found.address = ("10.1.2.3", 4321)
    found.local_address = ("192.0.2.53", 5353)
    found.edns = Edns(1400, do=True)
    found.metadata = {"kubernetes/client-namespace": "shop"}
    for name, value in fields.items():
        setattr(found, name, value)
    return found


TRUE = [
    "type() == 'AAAA'",
    'class() == "IN" and proto() == "udp"',
    "name() == 'www.example.org.'",
    "client_ip() == '10.1.2.3' && port() == '4321'",
    "server_ip() == '192.0.2.53' && server_port() == '5353'",
    "id() == 42 and opcode() == 0 and size() == 33",
    "do() and bufsize() == 1400",
    "incidr(client_ip(), '10.0.0.0/8')",
    "!incidr(client_ip(), '10.2.0.0/16')",
    "not incidr(client_ip(), '2001:db8::/32')",
    "metadata('kubernetes/client-namespace') == 'shop'",
    "metadata('else') == ''",
    "type() in ['A', 'AAAA']",
    "type() not in ['MX', 'TXT']",
    "name() matches '^www\\\\.'",
    "name() matches `^www\\.example`",
    "name() contains 'exam' and name() startsWith 'w' and name() endsWith 'org.'",
    "name() not contains 'net'",
    "false or true and true",
    "true or false and false",
    "not false == true",
    "1 + 2 * 3 == 7",
    "(1 + 2) * 3 == 9",
    "7 / 2 == 3.5 && 7 % 4 == 3 && 10 - 3 - 2 == 5",
    "-1 < 1 and 2 >= 2 and 'a' < 'b' and 1 != 2",
    "size() > 20 ? true : false",
    "(size() > 100 ? 'a' : size() > 30 ? 'b' : 'c') == 'b'",
    "lower('ABC') + upper('d') == 'abcD' and trim(' x ') == 'x'",
    "len(name()) == 16 and hasPrefix(name(), 'www') and hasSuffix(name(), '.')",
    "'it\\'s' == \"it's\"",
    "id() in [41, size() + 9]",
]


@pytest.mark.parametrize("text", TRUE)
def test_it_is_true_and_its_opposite_is_not(text):
    assert Expression(text).admits(question())
    assert not Expression(f"not ({text})").admits(question())


def test_streams_take_large_replies():
    assert Expression("bufsize() == 65535 and proto() == 'tcp'").admits(question(is_stream=True))
    assert Expression("bufsize() == 512 and not do()").admits(question(edns=None))


@pytest.mark.parametrize(
    "text", ["1 / 0 == 1", "1 % (size() - 33) == 0", "incidr(name(), '10.0.0.0/8')",
             "incidr('10.0.0.1', name())"]
)  # fmt: skip
def test_what_cannot_be_computed_is_not_true(text):
    assert not Expression(text).admits(question())


def test_scope_ids_are_no_part_of_an_address():
    found = Expression("incidr(client_ip(), 'fe80::/10')")
    assert found.admits(question(address=("fe80::1%eth0", 5)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "ends too early"),
        ("true and", "ends too early"),
        ("type()", "gives a text"),
        ("1", "gives a number"),
        ("type() == 1", "== needs text, not number"),
        ("port() == 53", "== needs text, not number"),
        ("type() and true", "and needs true or false"),
        ("not 1 == 1", "not needs true or false"),
        ("true + true == true", "+ needs numbers"),
        ("type() in 'A'", "in needs list"),
        ("type() in []", "at least one item"),
        ("type() in ['A', 1]", "one kind"),
        ("1 in ['A']", "in needs text"),
        ("open('/etc/passwd') == ''", "unknown name 'open': there are"),
        ("__import__('os') == ''", "unknown name '__import__'"),
        ("name().upper == ''", "cannot read"),
        ("type == 'A'", "expecting '('"),
        ("type('A') == 'A'", "takes 0 arguments"),
        ("incidr(client_ip())", "takes 2 arguments"),
        ("incidr(1, '10.0.0.0/8')", "incidr() needs text"),
        ("incidr(client_ip(), '10.0.0.0')", "no range of addresses"),
        ("incidr(client_ip(), '10.0.0.0/99')", "incidr()"),
        ("name() matches '('", "could not parse regex"),
        ("name() matches name()", "in quotes"),
        ("true true", "unexpected 'true' at character 6"),
        ("(true", "ends too early, expecting ')'"),
        ("true; false", "cannot read"),
        ("true ? 1 : 'a'", "needs number, not text"),
        ("'open", "cannot read"),
        ("2 ** 100 == 1", "unexpected '**'"),
        ("11111111111111111111 == 1", "too long a number"),
        ("(" * 100 + "true" + ")" * 100, f"at most {MAX_DEPTH} deep"),
        ("!" * 100 + "true", f"at most {MAX_DEPTH} deep"),
        ("true" + " and true" * 300, f"at most {MAX_WORDS} words"),
        ("'" + "x" * 5000 + "' == ''", f"at most {MAX_CHARACTERS} characters"),
    ],
)
def test_mistakes_are_found_when_it_is_read(text, says):
    with pytest.raises(BadExpression) as caught:
        Expression(text)
    assert says in str(caught.value)


def test_the_longest_expressions_can_be_computed():
    assert Expression("true" + " and true" * (MAX_WORDS // 2 - 1)).admits(question())
    assert Expression("1" + "+1" * (MAX_WORDS // 2 - 2) + " > 0").admits(question())


PIECES = st.sampled_from(
    [*FUNCTIONS, "(", ")", "[", "]", ",", "'a'", "1", "==", "<", "and", "or", "not", "in", "?", ":",
     "+", "-", "/", "%", "matches", "true", "'10.0.0.0/8'", "()", "'", '"', "\\", "\0", "é", "."]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30))
def test_any_text_is_refused_or_answers_true_or_false(pieces):
    try:
        found = Expression(" ".join(pieces))
    except BadExpression:
        return
    assert found.admits(question()) in {True, False}
