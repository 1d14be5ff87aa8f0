"""Go's regular expressions: what they accept, what they find, and that no text takes long."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given, settings, strategies as st

from k8sdns.corefile.goregex import MAX_STEPS, GoRegex
from k8sdns.corefile.regexcost import cost
from k8sdns.corefile.regexlinear import Linear
from k8sdns.corefile.regexsyntax import BadPattern, parse


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^ip-(?P<a>[0-9]+)[.]", "ip-10.example.", ("ip-10.", "10")),
        ("(?<a>b)", "abc", ("b", "b")),
        ("a|ab", "abc", ("a",)),
        ("(a|ab)(c|bcd)?", "abcd", ("abcd", "a", "bcd")),
        ("a*?b", "aab", ("aab",)),
        ("(?U)a+", "aaa", ("a",)),
        ("(?U)a+?", "aaa", ("aaa",)),
        ("(?i)ExAmple", "EXAMPLE", ("EXAMPLE",)),
        ("a(?i:B)c", "aBc abc aBC", ("aBc",)),
        ("a(?i)b(?-i)c", "aBc", ("aBc",)),
        ("^b$", "a\nb", None),
        ("(?m)^b$", "a\nb\nc", ("b",)),
        ("a$", "a\n", None),
        (r"a\z", "a\n", None),
        (r"\Aa\z", "a", ("a",)),
        ("a.c", "a\nc", None),
        ("(?s)a.c", "a\nc", ("a\nc",)),
        (r"\d+\s\w+", "12 ab", ("12 ab",)),
        (r"\s", "\v", None),
        (r"\d", "٣", None),
        (r"\bfoo\b", "a foo b", ("foo",)),
        (r"\Boo", "foo", ("oo",)),
        ("[[:alpha:]]+[[:^digit:]]", "12ab.", ("ab.",)),
        (r"[]a]+", "]a", ("]a",)),
        (r"[^\d.-]+", "1.-ab", ("ab",)),
        (r"[a\-z]+", "-az", ("-az",)),
        (r"\Qa.b\E+", "a.bb", ("a.bb",)),
        (r"\x41\x{42}\103\.", "ABC.", ("ABC.",)),
        ("a{2}", "aaa", ("aa",)),
        ("a{1,}b{,2}", "ab{,2}", ("ab{,2}",)),
        ("x{a}", "x{a}", ("x{a}",)),
        ("(a)|(b)", "b", ("b", None, "b")),
        ("", "abc", ("",)),
        ("()", "", ("", "")),
    ],
)
def test_both_matchers_find_what_go_finds(pattern, text, found):
    regex = GoRegex(pattern)
    match = regex.search(text)
    assert (None if match is None else (match[0], *match.groups())) == found
    spans = Linear(parse(pattern)).search(text)
    linear = None if spans is None else tuple(
        None if spans[n] < 0 else text[spans[n] : spans[n + 1]] for n in range(0, len(spans), 2)
    )  # fmt: skip
    assert linear == found


def test_groups_have_names_and_numbers():
    match = GoRegex("(?P<one>a)(b)(?P<x2>c)?").search("ab")
    assert match.groupdict() == {"one": "a", "x2": None}
    assert (match["one"], match[2], match.span("one"), match.span(3)) == (
        "a",
        "b",
        (0, 1),
        (-1, -1),
    )
    with pytest.raises(IndexError):
        match[4]
    with pytest.raises(IndexError):
        match["none"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("([", "missing closing ]"),
        ("(a", r"missing closing \)"),
        ("a)", r"unexpected \)"),
        ("*a", "missing argument"),
        ("a|+", "missing argument"),
        ("a**", "nested repetition"),
        ("a*+", "nested repetition"),
        ("a{2}{3}", "nested repetition"),
        ("a{1001}", "repeat count"),
        ("a{3,2}", "repeat count"),
        ("(?=a)", "Perl syntax"),
        ("(?!a)", "Perl syntax"),
        ("(?<!a)", "Perl syntax"),
        ("(?>a)", "Perl syntax"),
        ("(?P<n>a)(?P<n>b)", "duplicate"),
        (r"(a)\1", r"invalid escape sequence: \\1"),
        (r"\p{Greek}", "Unicode classes"),
        (r"\y", "invalid escape"),
        ("a\\", "trailing backslash"),
        ("[z-a]", "class range"),
        ("[[:nope:]]", "class range"),
        ("[a", "missing closing ]"),
        ("(" * 200 + ")" * 200, "nested more than"),
        ("((a{1000}){1000}){1000}", "too large"),
        ("x" * 10_001, "too long"),
    ],
)
def test_what_go_refuses_is_refused(pattern, message):
    with pytest.raises(BadPattern, match=message):
        GoRegex(pattern)


ATOMS = st.sampled_from(["a", "b", "ab", "[ab]", "[^a]", ".", "(a)", "(?:b|ab)", "^", "$", "(|a)"])


def consumes(pattern):
    return re.fullmatch(pattern.replace("$", r"\Z"), "") is None


PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        # Engines differ over how often a part that may match nothing is repeated.
        st.tuples(
            inner.filter(consumes),
            st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{1,2}", "{2}"]),
        ).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
    ),
    max_leaves=6,
)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, st.text("ab.", max_size=8))
def test_the_linear_matcher_finds_where_python_finds(pattern, text):
    theirs = re.search(pattern.replace("$", r"\Z"), text)
    ours = Linear(parse(pattern)).search(text)
    assert (ours and ours[:2]) == (theirs and theirs.span())


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "^(a|a)*$", "^(a*)*b", "(.*)(.*)(.*)(.*)x", "^(a|ab|b)*c", "^(([a-z])+.)+[A-Z]$",
     "^(a?){30}a{30}$", "(a{1,30}){1,30}b", "(x+x+)+y"],
)  # fmt: skip
def test_evil_patterns_are_matched_in_linear_time(pattern):
    text = "a" * 250 + "!"
    assert cost(parse(pattern).tree).steps(len(text)) > MAX_STEPS
    steps = 0

    def count(frame, event, _argument):
        nonlocal steps
        steps += event == "call"

    regex = GoRegex(pattern)
    sys.setprofile(count)
    try:
        regex.search(text)
    finally:
        sys.setprofile(None)
    assert steps < 3_000 * len(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]ip[.]example[.]$",
        "^([a-z0-9-]+[.])?example[.]org[.]$",
        r"^([a-z0-9]+\.)+svc\.cluster\.local\.$",
        r"^(?P<name>[^.]*)\.(?P<ns>[^.]*)\.example\.$",
    ],
)
def test_the_usual_patterns_are_left_to_the_quick_matcher(pattern):
    assert cost(parse(pattern).tree).steps(250) <= MAX_STEPS


@given(st.text("ab()[]{}*+?|\\^$.-,:?P<>12iQEdxpz", max_size=15))
def test_any_text_is_a_pattern_or_an_error(text):
    try:
        GoRegex(text).search("ab.12")
    except BadPattern:
        assert True
