"""Every directive has a page, the page tells all of its syntax, and its examples can be served."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from k8sdns import assemble
from k8sdns.corefile.source import CorefileText
from k8sdns.corefile.syntax import syntax
from k8sdns.directives import discovered

DOCS = Path(__file__).parent.parent / "docs"
PAGES = DOCS / "directives"
SNIPPET = re.compile(r"^```corefile\n(.*?)^```", re.DOTALL | re.MULTILINE)
WORDS = sorted(
    word
    for word, directive in discovered().items()
    if directive.settings.__module__.startswith("k8sdns.")
)


def page_of(word):
    return (PAGES / f"{word}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("word", WORDS)
def test_the_page_names_every_option(word):
    page = page_of(word)
    assert page.startswith(f"# {word}\n")
    for row in syntax(word, discovered()[word].settings).options:
        assert re.search(rf"\b{re.escape(row.name)}\b", page), f"`{row.name}` is not explained"


@pytest.mark.parametrize("word", WORDS)
def test_the_examples_of_the_page_can_be_served(word):
    snippets = SNIPPET.findall(page_of(word))
    assert snippets, "a page has at least one example"
    assert any(re.search(rf"^\s*{word}\b", snippet, re.MULTILINE) for snippet in snippets)
    for snippet in snippets:
        assemble.check(CorefileText(snippet, f"{word}.md", None), default_port=53, environ={})


@pytest.mark.parametrize("word", WORDS)
def test_the_syntax_on_the_page_is_current(word, generate):
    page = page_of(word)
    assert generate.current(page, discovered()[word]) == page, "run python docs/generate.py"


def test_the_index_is_current(generate):
    found = {word: discovered()[word] for word in WORDS}
    assert (PAGES / "index.md").read_text(encoding="utf-8") == generate.index(found), (
        "run python docs/generate.py"
    )


def test_every_word_and_every_absent_word_is_explained(generate):
    found = discovered()
    assert [word for word in found if not found[word].summary] == []
    absent = set(generate.ORDER) - set(found)
    assert [word for word in absent if word not in generate.ABSENT] == []
