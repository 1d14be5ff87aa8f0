"""Stanzas as settings: every rule that fields state, and every error about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from k8sdns.corefile.parser import parse
from k8sdns.corefile.reading import read, read_directive
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Mistake,
    argument,
    arguments,
    block_zones,
    fallthrough,
    flag,
    kinds,
    lines,
    option,
    options,
    parsed,
)
from k8sdns.corefile.syntax import Row, syntax
from k8sdns.errors import CorefileError
from k8sdns.names import ROOT, from_text

ORG = from_text("example.org")


def texts(line, _context):
    return [token.text for token in line]


def even(line, context):
    if len(line) % 2:
        return len(line)
    raise ValueError(f"{len(line)} words are even")


@dataclass(frozen=True)
class Settings:
    ttl: int = argument(kinds.integer(1), default=60, when=str.isdigit, help="The TTL.")
    zones: tuple[bytes, ...] = block_zones(help="The zones.")
    mode: str = option(
        kinds.choice("a", "b"), default="a", help="The mode.", complaint="bad mode: {}"
    )
    size: tuple[int, ...] = option(
        kinds.integer(), kinds.duration(), least=1, default=(5,), help="A size."
    )
    class_: tuple[str, ...] = options(kinds.text("CLASS"), help="Classes.")
    keep: bool = flag(help="Keep.")
    fallthrough: tuple[bytes, ...] = fallthrough()
    rule: tuple[list[str], ...] = parsed(texts, form="RULE…", help="Rules.")
    last: int = parsed(even, form="WORD…", help="Odd.", default=0, gathers=False)
    internal: int = 7
    ACCEPTED: ClassVar = {"upstream": "does nothing: names are looked up here"}
    REFUSED: ClassVar = {"grpc": "is not supported: use tls"}

    def check(self, context):
        if self.keep and self.mode == "b":
            raise Mistake("keep and mode b cannot both be set", "keep")
        if self.ttl == 13:
            raise ValueError("13 is unlucky")


def settings(text, cls=Settings, context=None):
    (stanza,) = parse(f". {{\n{text}\n}}").blocks[0].stanzas
    return read(cls, stanza, context or Context("word", (ORG,)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word", Settings(zones=(ORG,))),
        ("word 30", Settings(ttl=30, zones=(ORG,))),
        ("word .", Settings(zones=(ROOT,))),
        ("word 30 . a", Settings(ttl=30, zones=(ROOT, from_text("a")))),
        ("word {\n}", Settings(zones=(ORG,))),
        ("word {\nmode b\n}", Settings(zones=(ORG,), mode="b")),
        ("word { keep }", Settings(zones=(ORG,), keep=True)),
        ("word {\nsize 1\n}", Settings(zones=(ORG,), size=(1,))),
        ("word {\nsize 1 2s\n}", Settings(zones=(ORG,), size=(1, 2.0))),
        ("word {\nclass a b\nclass c\n}", Settings(zones=(ORG,), class_=("a", "b", "c"))),
        ("word {\nfallthrough\n}", Settings(zones=(ORG,), fallthrough=(ROOT,))),
        ("word {\nfallthrough a\n}", Settings(zones=(ORG,), fallthrough=(from_text("a"),))),
        ("word {\nrule a b\nrule\n}", Settings(zones=(ORG,), rule=(["rule", "a", "b"], ["rule"]))),
        ("word {\nlast a b\n}", Settings(zones=(ORG,), last=3)),
    ],
)
def test_settings(text, expected):
    assert settings(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("word {\nmodes b\n}", 3, "unknown property 'modes' (did you mean 'mode'?)"),
        ("word {\nMode b\n}", 3, "unknown property 'Mode' (did you mean 'mode'?)"),
        ("word {\nzzzz\n}", 3, "unknown property 'zzzz'"),
        ("word {\nkeep\nmode\n}", 4, "unexpected line ending after 'mode'; write: mode a|b"),
        ("word {\nmode a b\n}", 3, "unexpected line ending after 'b'; write: mode a|b"),
        ("word {\nmode c\n}", 3, "bad mode: c"),
        ("word {\nkeep yes\n}", 3, "unexpected line ending after 'yes'; write: keep"),
        ("word {\nsize\n}", 3, "unexpected line ending after 'size'; write: size N [DURATION]"),
        ("word {\nsize 1 2s 3\n}", 3, "unexpected line ending after '3'"),
        ("word {\nsize 1 2\n}", 3, "'2' is not a duration"),
        ("word {\nclass\n}", 3, "unexpected line ending after 'class'; write: class CLASS…"),
        ("word {\nclass {\na\n}\n}", 3, "Unexpected token '{', expecting argument"),
        ("word {\nlast a\n}", 3, "2 words are even"),
        ("word {\ngrpc x\n}", 3, "'grpc' is not supported: use tls"),
        ("word\n{\nkeep\n}", 3, "the opening brace of 'word' must stand on the line of the dir"),
        ("word {\nkeep\n} x", 4, "unexpected line ending after '}': 'x' belongs in front"),
        ("word {\nmode b\nkeep\n}", 4, "keep and mode b cannot both be set"),
        ("word 13", 2, "13 is unlucky"),
        ("word 0", 2, "'0' is not an integer of at least 1"),
    ],
)
def test_errors_name_directive_line_and_remedy(text, line, message):
    with pytest.raises(CorefileError) as caught:
        settings(text)
    assert str(caught.value).startswith(f"Corefile:{line} - plugin/word: ")
    assert message in str(caught.value)


def test_words_without_effect_are_taken_with_a_warning():
    context = Context("word", (ORG,))
    assert settings("word {\nupstream 1.1.1.1\n}", context=context) == Settings(zones=(ORG,))
    assert context.warnings == [
        "Corefile:3 - plugin/word: 'upstream' does nothing: names are looked up here"
    ]


def test_of_an_option_given_twice_the_last_counts_with_a_warning():
    context = Context("word", (ORG,))
    assert settings("word {\nmode b\nmode a\n}", context=context).mode == "a"
    assert context.warnings == [
        "Corefile:4 - plugin/word: 'mode' is given more than once; the last one counts"
    ]


@dataclass(frozen=True)
class Required:
    name: str = argument(kinds.text("NAME"), help="A name.")
    more: tuple[str, ...] = arguments(kinds.text("MORE"), least=1, most=2, help="More.")
    cert: str = option(kinds.path(), help="A certificate.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word", "unexpected line ending after 'word'; write: word NAME MORE…"),
        ("word a", "unexpected line ending after 'a'; write: word NAME MORE…"),
        ("word a b c d", "unexpected line ending after 'd'"),
        ("word a b", "'cert' is required"),
    ],
)
def test_what_has_no_default_must_be_given(text, message):
    with pytest.raises(CorefileError) as caught:
        settings(text, Required)
    assert message in str(caught.value)


def test_required_words_are_read():
    assert settings("word a b c {\ncert /x\n}", Required) == Required(
        name="a", more=("b", "c"), cert="/x"
    )


@dataclass(frozen=True)
class Inline:
    ttl: int = option(kinds.integer(), default=5, help="TTL.")
    entries: tuple[list[str], ...] = lines(texts, form="IP NAME…", help="Entries.")


def test_lines_of_any_other_word_can_be_taken():
    assert settings("word {\n192.0.2.1 a b\nttl 3\n::1 c\n}", Inline) == Inline(
        ttl=3, entries=(["192.0.2.1", "a", "b"], ["::1", "c"])
    )


@dataclass(frozen=True)
class Odd:
    words: tuple[str, ...]
    USAGE: ClassVar = "word any thing"

    @classmethod
    def from_stanza(cls, stanza, context):
        if not stanza.args:
            raise ValueError("something is expected")
        return cls(tuple(token.text for token in stanza.args))


def test_a_class_may_read_its_stanza_itself():
    assert settings("word a b", Odd) == Odd(("a", "b"))
    with pytest.raises(CorefileError, match="Corefile:2 - plugin/word: something is expected"):
        settings("word", Odd)


def test_equal_texts_give_equal_settings_wherever_they_stand():
    """What carries over a reload is decided by equality."""
    assert settings("word {\nkeep\n}") == settings("\n\n# moved\nword { keep }")


def test_a_directive_that_may_stand_once_gives_one_settings():
    directive = Directive("word", Settings, None)
    stanzas = parse(". {\nword 1\nword 2\n}").blocks[0].stanzas
    assert read_directive(directive, stanzas[:1], Context("word")).ttl == 1
    with pytest.raises(CorefileError) as caught:
        read_directive(directive, stanzas, Context("word"))
    assert str(caught.value) == (
        "Corefile:3 - plugin/word: this plugin can only be used once per Server Block "
        "(the first is at Corefile:2)"
    )


def test_a_directive_that_may_stand_often_gives_all_in_order():
    directive = Directive("word", Settings, None, once=False)
    stanzas = parse(". {\nword 2\nword 1\n}").blocks[0].stanzas
    assert [one.ttl for one in read_directive(directive, stanzas, Context("word"))] == [2, 1]


def test_documentation_comes_from_the_same_fields():
    found = syntax("word", Settings)
    assert found.usage == (
        "word [N] [ZONES…] {\n    mode a|b\n    size N [DURATION]\n    class CLASS…\n    keep\n"
        "    fallthrough [ZONES…]\n    rule RULE…\n    last WORD…\n}"
    )
    assert found.arguments[0] == Row("N", "", "60", "The TTL.", "an integer of at least 1")
    assert found.arguments[1].default == "the zones of the block"
    assert found.options[0] == Row("mode", "a|b", "a", "The mode.", "one of a, b")
    assert {row.name: row.default for row in found.options}["keep"] == "off"


def test_a_class_may_state_its_usage():
    assert syntax("word", Odd).usage == "word any thing"


def test_required_words_say_so_in_documentation():
    assert [row.default for row in syntax("word", Required).arguments] == ["required", "required"]
