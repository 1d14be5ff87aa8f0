"""What was understood of a Corefile, as JSON.

Owns: the shape of ``--dump``. Refuses to know settings: the dump shows words, not their meaning.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

import msgspec

from k8sdns.corefile.parser import Block, Corefile, Stanza


class DumpedDirective(TypedDict):
    """A directive: `body` is absent without braces, `rest` if nothing stands behind them."""

    name: str
    args: list[str]
    body: NotRequired[list[list[str]]]
    rest: NotRequired[list[str]]


class DumpedBlock(TypedDict):
    """A server block; imports in place, variables replaced."""

    keys: list[str]
    directives: list[DumpedDirective]


def dumped(corefile: Corefile) -> list[DumpedBlock]:
    """Return the blocks as plain lists and dictionaries."""
    return [_block(block) for block in corefile.blocks]


def as_json(corefile: Corefile) -> str:
    """Return the blocks as indented JSON text with a final newline."""
    # A variable may hold octets that are no UTF-8, which Python keeps as lone surrogates.
    text = msgspec.json.encode(_printable(dumped(corefile)))
    return msgspec.json.format(text, indent=2).decode("utf-8") + "\n"


def _block(block: Block) -> DumpedBlock:
    return {
        "keys": [key.text for key in block.keys],
        "directives": [_directive(stanza) for stanza in block.stanzas],
    }


def _directive(stanza: Stanza) -> DumpedDirective:
    found: DumpedDirective = {
        "name": stanza.word,
        "args": [token.text for token in stanza.args],
    }
    if stanza.body is not None:
        found["body"] = [[token.text for token in line] for line in stanza.body]
    if stanza.rest:
        found["rest"] = [token.text for token in stanza.rest]
    return found


def _printable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_printable(part) for part in value]
    if isinstance(value, dict):
        return {name: _printable(part) for name, part in value.items()}
    return value
