"""The text of manifest files, cut into pieces that are read one at a time.

Owns: YAML and JSON, documents and lists, and at which line a mistake stands.
Refuses to know what a piece describes, and when files are read.

Reading YAML costs about a second a megabyte, so a file is cut, without parsing it, at the lines
where YAML itself must begin something new: ``---`` in the first column, and ``- `` in the first
column below the ``items:`` of a dump. Whoever reads can pause between pieces, and a piece whose
text is unchanged need not be read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import yaml

from k8sdns.errors import ConfigurationError

# ``{kind: Service}`` begins like JSON, but is YAML that is written in one line.
_FLOW_YAML = re.compile(r"\s*(?:\[\s*)?\{\s*\w")


class ManifestError(ConfigurationError):
    """A mistake in a manifest; ``str()`` is ``file:line - message``."""

    def __init__(self, message: str, file: str, line: int) -> None:
        self.message = message
        self.file = file
        self.line = line
        super().__init__(f"{file}:{line} - {message}")


class Piece(NamedTuple):
    """A part of a file that can be read alone; `line` counts from 1, `kind` is a list's item's."""

    text: str
    line: int
    kind: str = ""
    is_json: bool = False


def decode(octets: bytes, file: str) -> str:
    """Return the text of a file; raises `ManifestError` if it is not UTF-8."""
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise ManifestError("the file is not UTF-8 text", file, line) from None


def pieces_of(text: str, file: str) -> Iterator[Piece]:
    """Yield the pieces of a file in their order; raises `ManifestError`."""
    if text.lstrip()[:1] in {"{", "["} and not _FLOW_YAML.match(text):
        yield from _json_pieces(text, file)
        return
    for document in _documents(text):
        yield from _items(document)


def read(piece: Piece, file: str) -> list[dict[str, Any]]:
    """Return the objects in a piece, those of lists in their place; raises `ManifestError`."""
    values = [_load_json(piece, file)] if piece.is_json else _load(piece.text, file, piece.line)
    return [thing for value in values for thing in _flat(value, piece, file)]


def _flat(value: Any, piece: Piece, file: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a value: none, one, or the items of a list, which may lack a kind."""
    if value is None:
        return
    if isinstance(value, list):
        for item in value:
            yield from _flat(item, piece, file)
        return
    if not isinstance(value, dict):
        raise ManifestError("a Kubernetes object was expected", file, piece.line)
    kind = str(value.get("kind") or piece.kind)
    items = value.get("items", ())
    # Go writes an empty list as null.
    if kind.endswith("List") and (items is None or isinstance(items, list)):
        inner = piece._replace(kind=kind.removesuffix("List"))
        for item in items or ():
            yield from _flat(item, inner, file)
        return
    yield {**value, "kind": kind}


# -- YAML --------------------------------------------------------------------------------------

_DIRECTIVE = re.compile(r"^%(?:YAML|TAG)\b.*$", re.MULTILINE)
_ITEMS = re.compile(r"^items:[ \t]*(?:#.*)?\n(?=- )", re.MULTILINE)
_AFTER_ITEMS = re.compile(r"\n[^-\s#]")
_LIST_KIND = re.compile(r"^kind:[ \t]*[\"']?(\w*)List\b", re.MULTILINE)
_ANCHOR = re.compile(r"[:-] &\w")
_CONTENT = re.compile(r"^(?!---(?:\s|$))[ \t]*[^\s#]", re.MULTILINE)

MAX_DEPTH = 100  # Kubernetes objects nest some ten levels deep
_FAR_RIGHT = re.compile(rf"^[ \t?-]{{{MAX_DEPTH},}}", re.MULTILINE)

_SPACES = frozenset({"", " ", "\t", "\n"})
_HEAD = 4096

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]  # the C parser where PyYAML has one
    """YAML as Kubernetes reads it: dates stay text, and "=" is text too (PyYAML cannot read it)."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to say it
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith((":timestamp", ":value"))
        ]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }


def _documents(text: str) -> Iterator[Piece]:
    text = text.replace("\r\n", "\n")
    if "%YAML" in text or "%TAG" in text:
        # A directive belongs to the document below it; ours mean nothing: they become empty lines.
        text = _DIRECTIVE.sub("", text)
    start, line = 0, 1
    while start < len(text):
        end = _next_document(text, start)
        content = _CONTENT.search(text, start, end)
        if content is not None:
            above = text.count("\n", start, content.start())
            yield Piece(text[start:end], line + above)
        line += text.count("\n", start, end)
        start = end


def _next_document(text: str, after: int) -> int:
    """Return where the next line ``---`` begins, the end of the text if there is none."""
    at = text.find("\n---", after)
    while at >= 0:
        if text[at + 4 : at + 5] in _SPACES:
            return at + 1
        at = text.find("\n---", at + 1)
    return len(text)


def _items(document: Piece) -> Iterator[Piece]:
    """Yield the items of a list that is written as kubectl writes it, else the document whole.

    Aliases may reach from item to item; a list with anchors (kubectl writes none) is read whole.
    """
    text = document.text
    # kubectl writes items near the top; looking further would only cost time in other documents.
    found = _ITEMS.search(text, 0, _HEAD)
    kind = _list_kind(text) if found else None
    if found is None or kind is None or "\n-\n" in text or _has_anchors(text):
        yield document
        return
    start = found.end()
    line = document.line - _lines_before_content(text) + text.count("\n", 0, start)
    while text.startswith("- ", start):
        end = _next_item(text, start)
        yield Piece("  " + text[start + 2 : end], line, kind)
        line += text.count("\n", start, end)
        start = end


def _has_anchors(text: str) -> bool:
    # Looking for two characters is a hundred times faster than for a pattern.
    return " &" in text and _ANCHOR.search(text) is not None


def _next_item(text: str, start: int) -> int:
    """Return where the item at `start` ends: at the next one, or at the list's own next key."""
    item = text.find("\n- ", start)
    stop = item if item >= 0 else len(text)
    after = _AFTER_ITEMS.search(text, start, stop + 1)
    return after.start() + 1 if after else min(stop + 1, len(text))


def _list_kind(text: str) -> str | None:
    """Return the kind of a list's items ("" for the kind List), None if it is no list."""
    for where in (text[:_HEAD], text[-_HEAD:]):
        kind = _LIST_KIND.search(where)
        if kind:
            return kind.group(1)
    return None


def _lines_before_content(text: str) -> int:
    content = _CONTENT.search(text)
    return text.count("\n", 0, content.start()) if content else 0


def _check_depth(text: str) -> None:
    """Raise RecursionError for nesting that would end the process: the C loader recurses freely.

    Counting events costs as much as reading, so only a text that could nest deep is counted: with
    many brackets, or with a line that begins far to the right.
    """
    if text.count("[") + text.count("{") < MAX_DEPTH and not _FAR_RIGHT.search(text):
        return
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise RecursionError(f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _load(text: str, file: str, line: int) -> list[Any]:
    try:
        _check_depth(text)
        # The loader is a safe one: it makes plain values only.
        return list(yaml.load_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = line - _lines_before_content(text) + (mark.line if mark else 0)
        raise ManifestError(f"not YAML: {error.problem or error.context}", file, at) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"not YAML: {error}", file, line) from None


# -- JSON --------------------------------------------------------------------------------------


class _JSONList(msgspec.Struct):
    kind: str
    items: list[msgspec.Raw]


def _json_pieces(text: str, file: str) -> Iterator[Piece]:
    try:
        whole = msgspec.json.decode(text, type=_JSONList)
    except (msgspec.DecodeError, RecursionError):
        yield from _json_stream(text, file)
    else:
        kind = whole.kind.removesuffix("List")
        for item in whole.items:
            yield Piece(bytes(item).decode(), 1, kind, is_json=True)


def _load_json(piece: Piece, file: str) -> Any:
    try:
        return msgspec.json.decode(piece.text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ManifestError(f"not JSON: {error}", file, piece.line) from None


def _json_stream(text: str, file: str) -> Iterator[Piece]:
    """Yield JSON values that follow one another, which kubectl takes too."""
    decoder = json.JSONDecoder()
    at, line = 0, 1
    while tail := text[at:].lstrip():
        start = len(text) - len(tail)
        line += text.count("\n", at, start)
        try:
            _, at = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise ManifestError(f"not JSON: {error.msg}", file, error.lineno) from None
        except RecursionError:
            raise ManifestError("not JSON for us: nested too deep", file, line) from None
        yield Piece(text[start:at], line, is_json=True)
        line += text.count("\n", start, at)
