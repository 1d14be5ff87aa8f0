"""Laws of the language, for any text."""

from __future__ import annotations

from hypothesis import given, strategies as st

from k8sdns.corefile.dump import dumped
from k8sdns.corefile.lexer import tokens
from k8sdns.corefile.order import ORDER
from k8sdns.corefile.parser import parse
from k8sdns.corefile.zones import BadZone, addresses
from k8sdns.errors import CorefileError

PIECES = st.sampled_from(
    [
        ".",
        "a",
        "a,",
        "(s)",
        "s",
        "{",
        "}",
        "import",
        "log",
        "cache",
        '"',
        '"x y"',
        "#",
        "{$X}",
        "{%Y%}",
        "\\",
        " ",
        " ",
        " ",
        "\n",
        "\n",
        "\r\n",
        "\t",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=60)
ENVIRON = {"X": "x y", "Y": "{$X}"}

WORDS = st.text(min_size=1, max_size=8).filter(
    lambda word: (
        word not in {"{", "}", "import"}
        and not word.endswith(("\\", ","))
        and "{$" not in word
        and "{%" not in word
    )
)
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=3)
DIRECTIVES = st.fixed_dictionaries(
    {"name": st.sampled_from(ORDER), "args": st.lists(WORDS, max_size=3)}, optional={"body": LINES}
)
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {
            "keys": st.lists(WORDS.filter(lambda key: key[0] != "("), min_size=1, max_size=3),
            "directives": st.lists(DIRECTIVES, max_size=4),
        }
    ),
    max_size=3,
)


@given(TEXTS)
def test_any_text_parses_or_is_refused_at_a_line_of_it(text):
    refusal = None
    try:
        found = parse(text, "Corefile", ENVIRON, ORDER)
    except CorefileError as error:
        refusal = error
    if refusal is None:
        assert all(block.keys for block in found.blocks)
    else:
        assert 1 <= refusal.line <= text.count("\n") + 1
        assert str(refusal).isprintable()


@given(TEXTS)
def test_lines_of_words_never_go_back(text):
    found = tokens(text, "Corefile")
    assert [token.line for token in found] == sorted(token.line for token in found)
    assert not found or found[0].first


@given(BLOCKS)
def test_what_is_written_is_read_back(blocks):
    assert dumped(parse(written(blocks))) == blocks


@given(st.text(max_size=300))
def test_any_key_is_an_address_or_refused(text):
    try:
        found = addresses(text)
    except BadZone:
        return
    assert 1 <= len(found) <= 256
    assert all(0 <= address.port <= 65535 and address.zone[-1] == 0 for address in found)


def written(blocks):
    lines = []
    for block in blocks:
        lines.append(" ".join(map(quoted, block["keys"])) + " {")
        for directive in block["directives"]:
            head = " ".join([directive["name"], *map(quoted, directive["args"])])
            body = directive.get("body")
            lines.append(head if body is None else head + " {")
            if body is not None:
                lines.extend(" ".join(map(quoted, line)) for line in body)
                lines.append("}")
        lines.append("}")
    return "\n".join(lines)


def quoted(word):
    return '"' + word.replace('"', '\\"') + '"'
