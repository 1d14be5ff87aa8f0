"""Any cut of a stream gives the same lines and items; bounds hold."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, strategies as st

from k8sdns.cluster.streams import LineSplitter, ListSplitter, StreamError


def cuts(data):
    """Draw ways to cut a text of any length: sorted positions, as fractions."""
    return st.lists(st.floats(0, 1), max_size=data).map(sorted)


def pieces_of(octets, fractions):
    at = [0, *(int(f * len(octets)) for f in fractions), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(at)]


@given(st.lists(st.binary().filter(lambda b: b"\n" not in b)), cuts(30))
def test_lines_are_the_same_however_they_are_cut(lines, fractions):
    splitter = LineSplitter()
    found = []
    for piece in pieces_of(b"".join(line + b"\n" for line in lines), fractions):
        found += splitter.feed(piece)
    assert found == [line for line in lines if line.strip()]


def test_a_partial_last_line_is_not_given_out():
    assert LineSplitter().feed(b'one\n{"type"') == [b"one"]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_endless_line_is_refused_before_it_is_held(size):
    splitter = LineSplitter(limit=100)
    for _ in range(100 // size):
        splitter.feed(b"x" * size)
    with pytest.raises(StreamError):
        splitter.feed(b"x" * 100)


def test_a_line_of_megabytes_passes():
    line = b"x" * (3 << 20)
    splitter = LineSplitter()
    found = []
    for at in range(0, len(line), 16384):
        found += splitter.feed(line[at : at + 16384])
    assert found + splitter.feed(b"\n") == [line]


json_values = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=5) | st.just('},{"metadata":{'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
items = st.lists(
    st.builds(
        lambda meta, rest, swapped: (
            {"spec": rest, "metadata": meta} if swapped else {"metadata": meta, "spec": rest}
        ),
        st.dictionaries(st.text(max_size=3), json_values, max_size=2),
        # A list of things that look like items must not be taken for the list's own items.
        json_values | st.just([{"metadata": {"name": "inner"}}, {"metadata": {}}]),
        st.booleans(),
    ),
    max_size=6,
)


@given(items, cuts(20), st.booleans(), st.booleans())
def test_items_are_the_same_however_they_are_cut_and_ordered(things, fractions, compact, late):
    head = {"kind": "ServiceList", "apiVersion": "v1"}
    metadata = {"metadata": {"resourceVersion": "7", "continue": "more"}}
    body = {**head, "items": things, **metadata} if late else {**head, **metadata, "items": things}
    text = json.dumps(body, separators=(",", ":") if compact else None, ensure_ascii=False)
    splitter = ListSplitter()
    found = []
    for piece in pieces_of(text.encode(), fractions):
        found += splitter.feed(piece)
    meta, rest = splitter.finish()
    assert [json.loads(item) for item in found + rest] == things
    assert (meta.resource_version, meta.continue_token) == ("7", "more")


def a_list(count):
    things = [{"metadata": {"name": f"n{i}"}, "spec": {"x": "y" * 50}} for i in range(count)]
    body = {"metadata": {"resourceVersion": "7"}, "items": things}
    return json.dumps(body, separators=(",", ":")).encode()


def test_items_come_before_the_list_is_over():
    body = a_list(100)
    found = ListSplitter().feed(body[: len(body) // 2])
    assert 40 <= len(found) <= 50


@given(st.integers(1, 2000))
def test_half_a_list_is_never_taken_for_a_whole_one(lost):
    body = a_list(20)
    splitter = ListSplitter()
    splitter.feed(body[: max(0, len(body) - lost)])
    with pytest.raises(StreamError):
        splitter.finish()


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b"[]", b'{"items":[]}'])
def test_what_is_no_list_is_refused(body):
    splitter = ListSplitter()
    splitter.feed(body)
    with pytest.raises(StreamError):
        splitter.finish()


def test_null_items_are_an_empty_list():
    splitter = ListSplitter()
    splitter.feed(b'{"metadata":{"resourceVersion":"3"},"items":null}')
    assert splitter.finish()[1] == []


def test_a_broken_item_does_not_cost_the_square_of_the_list():
    body = a_list(5000).replace(b'"n3"', b'"n3', 1)
    splitter = ListSplitter()
    found = []
    for at in range(0, len(body), 4096):
        found += splitter.feed(body[at : at + 4096])
    assert len(found) == 3
    with pytest.raises(StreamError):
        splitter.finish()
