"""Imported files: paths, globs, bounds, and the record of what was read."""

from __future__ import annotations

import pytest

from k8sdns.corefile import imports
from k8sdns.corefile.dump import dumped
from k8sdns.corefile.parser import load
from k8sdns.errors import CorefileError


@pytest.fixture
def corefile(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_conf", ".conf")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("@DIR@", str(tmp_path)))
        return load(str(tmp_path / "Corefile"), {"NAME": "a.conf"})

    return write


def names_of(found):
    return [directive["name"] for block in dumped(found) for directive in block["directives"]]


@pytest.mark.parametrize("name", ["a.conf", "./a.conf", "@DIR@/a.conf", "{$NAME}", "a.con?"])
def test_a_file_takes_the_place_of_its_import(corefile, tmp_path, name):
    found = corefile(Corefile=f". {{\n errors\n import {name}\n cache\n}}", a_conf="log\nloop")
    assert names_of(found) == ["errors", "log", "loop", "cache"]
    assert found.files == (str(tmp_path / "Corefile"), str(tmp_path / "a.conf"))


def test_whole_blocks_can_be_imported(corefile):
    found = corefile(Corefile="import a.conf\nz {\n}", a_conf="x {\n}\ny {\n}")
    assert [block["keys"] for block in dumped(found)] == [["x"], ["y"], ["z"]]


def test_paths_are_relative_to_the_file_that_imports(corefile):
    found = corefile(
        Corefile=". {\n import d/a.conf\n}", d__a_conf="import b.conf", d__b_conf="log"
    )
    assert names_of(found) == ["log"]


def test_snippets_of_an_imported_file_can_be_used(corefile):
    found = corefile(Corefile="import a.conf\n. {\n import s\n}", a_conf="(s) {\n log\n}")
    assert names_of(found) == ["log"]


def test_an_import_in_a_body_gives_lines(corefile):
    found = corefile(Corefile=". {\n log {\n import a.conf\n c\n }\n}", a_conf="a 1\nb")
    assert dumped(found)[0]["directives"][0]["body"] == [["a", "1"], ["b"], ["c"]]


def test_a_glob_gives_the_files_in_order_hidden_ones_too(corefile, tmp_path):
    found = corefile(
        Corefile=". {\n import d/*.conf\n}",
        **{"d__2_conf": "log", "d__1_conf": "errors", "d__.h_conf": "loop"},
    )
    assert names_of(found) == ["loop", "errors", "log"]
    assert found.patterns == (str(tmp_path / "d/*.conf"),)


def test_a_glob_without_matches_is_a_warning(corefile):
    found = corefile(Corefile=". {\n import d/*.conf\n errors\n}")
    assert names_of(found) == ["errors"]
    assert found.warnings == ("No files matching import glob pattern: d/*.conf",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "File to import not found: nothing"),
        ("d", "is a directory"),
        ("*/*", "Glob pattern may only contain one wildcard (*), but has others: "),
        ("??", "Glob pattern may only contain one wildcard (*), but has others: "),
        ("[ab]", "Glob pattern may only contain one wildcard (*), but has others: "),
    ],
)
def test_refusals(corefile, name, message):
    with pytest.raises(CorefileError) as caught:
        corefile(Corefile=f". {{\n import {name}\n}}", d__x="")
    assert message in str(caught.value)
    assert caught.value.line == 2


def test_a_mistake_in_an_imported_file_names_that_file(corefile, tmp_path):
    with pytest.raises(CorefileError) as caught:
        corefile(Corefile=". {\n import a.conf\n}", a_conf="log\nlog }\n")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "a.conf"), 2)


def test_a_file_that_imports_itself_ends_in_an_error(corefile, monkeypatch):
    monkeypatch.setattr(imports, "MAX_FILE_EXPANSIONS", 50)
    with pytest.raises(CorefileError, match="maximum file import depth"):
        corefile(Corefile="import Corefile")


def test_a_file_without_end_is_refused(corefile, monkeypatch):
    monkeypatch.setattr(imports, "MAX_FILE_OCTETS", 100)
    with pytest.raises(CorefileError, match="larger than 100 octets"):
        corefile(Corefile=". {\n import a.conf\n}", a_conf="x" * 200)
