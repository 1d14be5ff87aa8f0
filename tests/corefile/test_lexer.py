"""Words, comments, quotes and line numbers."""

from __future__ import annotations

import pytest

from k8sdns.corefile.lexer import tokens


def words(text: str) -> list[str]:
    return [token.text for token in tokens(text, "Corefile")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\r\n", []),
        ("\ufeff. {", [".", "{"]),
        ("a\ufeffb", ["a\ufeffb"]),
        (".:53{", [".:53{"]),
        ("a\u00a0b\u2003c\u3000d\u0085e", ["a", "b", "c", "d", "e"]),
        ("a\x1cb", ["a\x1cb"]),  # a space for Python, not for Unicode
        ("a\rb\r\nc\r", ["ab", "c"]),
        ("a # b c\nd", ["a", "d"]),
        ("#a\n#b", []),
        ("8.8.8.8#53\nx", ["8.8.8.8", "x"]),
        ("8.8.8.8#53 9.9.9.9", ["8.8.8.8", "9.9.9.9"]),
        ('"8.8.8.8#53"', ["8.8.8.8#53"]),
        ('"a b" c', ["a b", "c"]),
        ('"a"b', ["a", "b"]),
        ('a"b c"', ['a"b', 'c"']),
        ('""', [""]),
        ('"" ""', ["", ""]),
        (r'"a \"b\" c"', ['a "b" c']),
        (r'"^a\.b\\c$"', [r"^a\.b\\c$"]),
        (r'"a\\" b', [r"a\\", "b"]),
        (r"(.*)\.x", [r"(.*)\.x"]),
        ('"a\r\nb"', ["a\r\nb"]),
        ('x "never closed', ["x", "never closed"]),
        ('x "', ["x"]),
        ('x "a\\', ["x", "a"]),
        ('\r"a b"', ["a b"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_a_word_knows_its_line_and_whether_it_begins_it():
    found = tokens('a b\n\n"c\nd" e\nf', "F")
    assert [(t.text, t.line, t.first) for t in found] == [
        ("a", 1, True),
        ("b", 1, False),
        ("c\nd", 3, True),
        ("e", 4, False),
        ("f", 5, True),
    ]
    assert {t.file for t in found} == {"F"}


def test_line_breaks_in_comments_and_crlf_count_once():
    assert [(t.text, t.line) for t in tokens("a # x\r\nb\r\n# y\nc", "F")] == [
        ("a", 1),
        ("b", 2),
        ("c", 4),
    ]
