"""Blocks, stanzas, braces, snippets; every refusal names its line."""

from __future__ import annotations

import pytest

from k8sdns.corefile import parser
from k8sdns.corefile.dump import dumped
from k8sdns.corefile.parser import load, parse
from k8sdns.errors import CorefileError

WORDS = ("cache", "errors", "forward", "kubernetes", "log")


def blocks(text, environ=None, words=None):
    return [
        (block["keys"], block["directives"])
        for block in dumped(parse(text, "Corefile", environ, words))
    ]


def directive(name, *args, **more):
    return {"name": name, "args": list(args), **more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n # nothing\n", []),
        ('""', []),
        ("{\n errors\n}", []),
        ("a b", [(["a", "b"], [])]),
        ("a, b,\nc,\n\nd {\n}", [(["a", "b", "c", "d"], [])]),
        ('a, "" b', [(["a", "b"], [])]),
        ("a\n{\n errors\n}", [(["a"], [directive("errors")])]),
        ("a {\n}\nb {\n}", [(["a"], []), (["b"], [])]),
        ("a {\n} b {\n}", [(["a"], []), (["b"], [])]),
        (".\nerrors\nlog", [(["."], [directive("errors"), directive("log")])]),
        (".\nerrors\n}\na {\n}", [(["."], [directive("errors")]), (["a"], [])]),
        (". {\n cache\n cache 2\n}", [(["."], [directive("cache"), directive("cache", "2")])]),
        (". {\n log {\n a 1\n\n b\n }\n}", [(["."], [directive("log", body=[["a", "1"], ["b"]])])]),
        (". {\n log {\n }\n}", [(["."], [directive("log", body=[])])]),
        (". {\n log { a b }\n}", [(["."], [directive("log", body=[["a", "b"]])])]),
        (". {\n log x\n {\n a\n }\n}", [(["."], [directive("log", "x", body=[["a"]])])]),
        (
            ". {\n log {\n c {\n d\n }\n }\n}",
            [(["."], [directive("log", body=[["c", "{"], ["d"], ["}"]])])],
        ),
        (
            ". {\n log {\n a\n } b { c }\n}",
            [(["."], [directive("log", body=[["a"]], rest=["b", "{", "c", "}"])])],
        ),
        (". {\n cache {}\n}", [(["."], [directive("cache", "{}")])]),
        (". {\n log {\n a\n }", [(["."], [directive("log", body=[["a"]])])]),
    ],
)
def test_structure(text, expected):
    assert blocks(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{$Z}:{$P} {\n}", [(["example.org:1053"], [])]),
        (
            ". {\n {$D} {$Z} {\n ttl {%P%}\n } {$P}\n}",
            [(["."], [directive("cache", "example.org", body=[["ttl", "1053"]], rest=["1053"])])],
        ),
        (". {\n log {$TWO} {$NONE}\n}", [(["."], [directive("log", "a b", "")])]),
        (". {\n log {$BRACE}\n}", [(["."], [directive("log", "{")])]),
    ],
)
def test_variables_are_replaced_in_keys_words_arguments_and_bodies(text, expected):
    environ = {"Z": "example.org", "P": "1053", "D": "cache", "TWO": "a b", "BRACE": "{"}
    assert blocks(text, environ) == expected


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a, {\n}", 1, "Expected another address but had '{' - check for extra comma"),
        ("a,\nb,", 2, "Unexpected EOF"),
        (". {", 1, "Syntax error: Unexpected token '{', expecting '}'"),
        (". {\n errors # }\n", 2, "Syntax error: Unexpected token 'errors', expecting '}'"),
        (". { errors }", 1, "Unexpected '}' because no matching opening brace"),
        (". {\n cache {\n } }\n}", 3, "Unexpected '}' because no matching opening brace"),
        (". {\n cache 30 {\n success 1\n", 3, "Unexpected EOF: a closing brace of 'cache'"),
        (". {\n errors\n kubernets x\n}", 3, "Unknown directive 'kubernets' (did you mean 'kube"),
        (". {\n zzzzzz\n}", 2, "Unknown directive 'zzzzzz'"),
        (". {\n route53 x\n}", 2, "Unknown directive 'route53': CoreDNS has it, k8sdns does not"),
        ("(a)\nerrors", 2, "Syntax error: Unexpected token 'errors', expecting '{'"),
        ("(a)", 1, "Syntax error: Unexpected token '(a)', expecting '{'"),
        ("(a) {\n errors", 2, "Syntax error: Unexpected token 'errors', expecting '}'"),
        ("(a) {\n}\n(a) {\n}", 3, "redeclaration of previously declared snippet a"),
        ("(a) {\n import a\n}", 3, "maximum snippet import depth (10000) exceeded"),
        (". {\n import\n}", 2, "unexpected line ending after 'import'"),
        (". {\n import a b\n}", 2, "Import takes only one argument (glob pattern or file)"),
        (". {\n import {$NONE}\n}", 2, "Import requires a non-empty filepath"),
        (". {\n log {$SELF}\n}", 2, "refer to themselves"),
        ("(common) {\n}\n. {\n import comon\n}", 4, "(did you mean the snippet 'common'?)"),
    ],
)
def test_refusals_name_the_line(text, line, message):
    with pytest.raises(CorefileError) as caught:
        parse(text, "Corefile", {"SELF": "{$SELF}"}, WORDS)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"Corefile:{line} - ")


def test_every_word_of_a_stanza_knows_its_line():
    (block,) = parse(". {\n log a {\n b\n c d\n }\n}").blocks
    (stanza,) = block.stanzas
    assert (block.line, block.keys[0].line, stanza.line) == (1, 1, 2)
    assert [token.line for token in stanza.args] == [2]
    assert [[token.line for token in line] for line in stanza.body] == [[3], [4, 4]]
    assert (stanza.brace.line, stanza.brace.first) == (2, False)


def test_a_brace_on_the_next_line_can_be_told_from_one_on_the_same():
    (stanza,) = parse(". {\n log\n {\n }\n}").blocks[0].stanzas
    assert stanza.brace.first


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "(a) {\n errors\n log\n}\nx {\n import a\n cache\n}\ny {\n import a\n}",
            [
                (["x"], [directive("errors"), directive("log"), directive("cache")]),
                (["y"], [directive("errors"), directive("log")]),
            ],
        ),
        (
            "(in) {\n errors\n}\n(out) {\n import in\n log\n}\n. {\n import out\n}",
            [(["."], [directive("errors"), directive("log")])],
        ),
        (
            "(opts) {\n a 1\n}\n. {\n cache {\n import opts\n import opts\n b\n }\n}",
            [(["."], [directive("cache", body=[["a", "1"], ["a", "1"], ["b"]])])],
        ),
        ("(e) {\n}\n. {\n import e\n errors\n}", [(["."], [directive("errors")])]),
        ("(s) {\n x {\n }\n}\nimport s", [(["x"], [])]),
        (". {\n log . import x\n}", [(["."], [directive("log", ".", "import", "x")])]),
        ("(a) {\n log {$Z}\n}\n. {\n import {$S}\n}", [(["."], [directive("log", "z")])]),
    ],
)
def test_snippets(text, expected):
    assert blocks(text, {"Z": "z", "S": "a"}) == expected


def test_snippets_that_import_each_other_end_in_an_error():
    text = "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}"
    with pytest.raises(CorefileError, match=r"maximum snippet import depth \(10000\) exceeded"):
        parse(text)


def test_snippets_that_multiply_are_bounded(monkeypatch):
    monkeypatch.setattr(parser, "MAX_IMPORTED_WORDS", 1000)
    text = "(a) {\n" + " log x\n" * 100 + "}\n. {\n" + " import a\n" * 6 + "}"
    with pytest.raises(CorefileError, match="imports come to more than 1000 words"):
        parse(text)


def test_load_reports_the_file_it_read(tmp_path):
    path = tmp_path / "Corefile"
    path.write_text(". {\n}\n")
    found = load(str(path), {})
    assert found.files == (str(path),)
    assert found.blocks[0].file == str(path)


def test_load_refuses_a_file_that_is_not_there(tmp_path):
    path = str(tmp_path / "nothing")
    with pytest.raises(CorefileError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path} - cannot read the Corefile: No such file or directory"


def test_load_reads_octets_that_are_no_utf8(tmp_path):
    path = tmp_path / "Corefile"
    path.write_bytes(b". {\n log \xff\n}\n")
    assert load(str(path), {}).blocks[0].stanzas[0].args[0].text == "\ufffd"
