"""Manifest files are cut into pieces without changing what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from k8sdns.cluster.documents import ManifestError, decode, pieces_of, read


def objects(text: str) -> list[dict[str, Any]]:
    return [thing for piece in pieces_of(text, "f.yaml") for thing in read(piece, "f.yaml")]


def names(text: str) -> list[tuple[str, str]]:
    return [(thing["kind"], thing["metadata"]["name"]) for thing in objects(text)]


SERVICE = "kind: Service\nmetadata:\n  name: {}\n"
DUMP = """\
apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    name: a
    annotations:
      text: |
        ---
        - not an item
- apiVersion: v1
  kind: Pod
  metadata: {name: b}
kind: List
metadata:
  resourceVersion: ""
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n---\n# at all\n", []),
        (SERVICE.format("a"), [("Service", "a")]),
        (
            f"---\n{SERVICE.format('a')}---\n{SERVICE.format('b')}",
            [("Service", "a"), ("Service", "b")],
        ),
        (f"%YAML 1.1\n---\r\n{SERVICE.format('a')}...\n", [("Service", "a")]),
        (f"--- # first\n{SERVICE.format('a')}---\n\n---\n", [("Service", "a")]),
        (DUMP, [("Service", "a"), ("Pod", "b")]),
        (DUMP.replace("kind: List", "kind: ServiceList"), [("Service", "a"), ("Pod", "b")]),
        (
            "kind: PodList\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n",
            [("Pod", "a"), ("Pod", "b")],
        ),
        ("kind: List\nitems: []\n", []),
        (
            "kind: PodList\nitems:\n- metadata: {name: a}\n-\n  metadata: {name: b}\n",
            [("Pod", "a"), ("Pod", "b")],
        ),
        (
            "kind: PodList\nitems:\n- metadata: {name: a}\n# two\n\n- metadata: {name: b}\nx: 1",
            [("Pod", "a"), ("Pod", "b")],
        ),
        (
            "kind: List\nitems:\n- &x {kind: Pod, metadata: {name: a}}\n- *x\n",
            [("Pod", "a"), ("Pod", "a")],
        ),
        ("kind: Service\nmetadata: {name: a}\nitems:\n- 1\n", [("Service", "a")]),
        ('{"kind": "Service", "metadata": {"name": "a"}}', [("Service", "a")]),
        ('{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "a"}}]}', [("Pod", "a")]),
        ('{"kind": "PodList", "items": [{"metadata": {"name": "a"}}]}', [("Pod", "a")]),
        ('[{"kind": "Pod", "metadata": {"name": "a"}}]', [("Pod", "a")]),
        (
            (
                '{"kind": "Pod", "metadata": {"name": "a"}}\n'
                '{"kind": "Pod", "metadata": {"name": "b"}}\n'
            ),
            [("Pod", "a"), ("Pod", "b")],
        ),
    ],
)
def test_every_form_of_manifest_is_read(text: str, expected: list[tuple[str, str]]) -> None:
    assert names(text) == expected


def test_dates_and_equals_signs_stay_text() -> None:
    (thing,) = objects("kind: Pod\nmetadata: {deletionTimestamp: 2026-01-01T00:00:00Z}\nop: =\n")
    assert thing["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert thing["op"] == "="


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("kind: Pod\nmetadata: {name: a\nspec: 1\n", 3, "not YAML"),
        (SERVICE.format("a") + "---\n\n# two\nkind: [\n---\n", 7, "not YAML"),
        ("just words\n", 1, "object was expected"),
        ("\n\n- 1\n", 3, "object was expected"),
        (
            "kind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n- kind: Pod\n  x: '\n",
            6,
            "not YAML",
        ),
        ('{"kind": "Pod",\n "metadata": }', 2, "not JSON"),
        ("key: !unknown 1\n", 1, "not YAML"),
        ("[" * 100_000, 1, "not JSON"),
        ('{"kind": "List", "items": [{"kind": "\\ud800"}]}', 1, "not JSON"),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ManifestError) as error:
        objects(text)
    assert message in error.value.message
    assert abs(error.value.line - line) <= 1
    assert str(error.value).startswith(f"f.yaml:{error.value.line} - ")


def test_octets_that_are_no_text_are_told_with_their_line() -> None:
    with pytest.raises(ManifestError, match=r"^f:2 - .*UTF-8"):
        decode(b"a: b\n\xff\n", "f")


def test_items_of_a_dump_are_pieces_of_their_own_with_their_lines() -> None:
    pieces = list(pieces_of("# a dump\n" + DUMP, "f"))
    assert [piece.line for piece in pieces] == [4, 12]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
things = st.builds(
    lambda name, spec: {"kind": "Service", "metadata": {"name": name}, "spec": spec},
    st.text(max_size=10),
    values,
)


@given(st.lists(things, max_size=4), st.sampled_from(["documents", "list", "json"]))
def test_cutting_never_changes_what_a_file_says(written: list[dict[str, Any]], form: str) -> None:
    if form == "documents":
        text = yaml.safe_dump_all(written)
    elif form == "list":
        text = yaml.safe_dump({"kind": "List", "items": written})
    else:
        text = json.dumps({"kind": "List", "items": written})
    assert objects(text) == written


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("{apiVersion: v1, kind: Service}", 1),
        ('{"kind": "Service"}', 1),
        ('[{"kind": "Service"}, {"kind": "Pod"}]', 2),
        ("[{kind: Service}, {kind: Pod}]", 2),
        ("[]", 0),
    ],
)
def test_one_line_of_yaml_is_not_taken_for_json(text: str, count: int) -> None:
    found = [thing for piece in pieces_of(text, "f") for thing in read(piece, "f")]
    assert len(found) == count


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "{b: " * 100_000,
        "- " * 100_000 + "x",
        "\n".join(" " * n + "a:" for n in range(5000)),
        "{a: " + "[" * 100_000,
    ],
    ids=["sequences", "mappings", "dashes", "blocks", "one line"],
)
def test_nesting_without_end_is_a_mistake_and_not_the_end(text: str) -> None:
    with pytest.raises(ManifestError, match=r"nested deeper|not YAML"):
        [read(piece, "f") for piece in pieces_of(text, "f")]
