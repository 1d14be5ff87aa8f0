"""Kubernetes label selectors: the text grammar and what it means.

Owns: reading a selector and judging a set of labels by it. Refuses to know what carries labels.

Grammar (Kubernetes, "Labels and selectors"): requirements separated by commas, all of which must
hold; ``key``, ``!key``, ``key=value``, ``key==value``, ``key!=value``, ``key in (a,b)``,
``key notin (a,b)``, ``key>1``, ``key<1``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from k8sdns.errors import K8sDNSError

Labels = Mapping[str, str]


class BadSelector(K8sDNSError):
    """A selector that cannot be read; the message shows the offending piece."""


class Requirement(NamedTuple):
    """One condition on one label; `operator` is exists, !, in, notin, < or >."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Labels) -> bool:
        """Tell whether `labels` meet it; a label that is absent meets != and notin."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
        return _compares(value, self.operator, self.values)


class Selector(NamedTuple):
    """Requirements that must all hold; none hold for everything."""

    requirements: tuple[Requirement, ...] = ()

    def __call__(self, labels: Labels) -> bool:
        """Tell whether an object with `labels` is selected."""
        return all(requirement.holds(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` says; empty text selects everything.

    Raises `BadSelector`.
    """
    reader = _Reader(text)
    requirements: list[Requirement] = []
    while reader.peek() is not None:
        if requirements:
            reader.expect(",")
        requirements.append(_requirement(reader))
    return Selector(tuple(requirements))


_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class _Reader:
    """The pieces of a selector, one at a time."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self._pieces = _TOKEN.findall(self.text)
        self._at = 0

    def peek(self) -> str | None:
        return self._pieces[self._at] if self._at < len(self._pieces) else None

    def take(self) -> str:
        piece = self.peek()
        if piece is None:
            raise BadSelector(f"the label selector {self.text!r} ends too early")
        self._at += 1
        return piece

    def expect(self, wanted: str) -> None:
        piece = self.take()
        if piece != wanted:
            raise self.fault(piece, f"{wanted!r} was expected")

    def fault(self, piece: str, why: str) -> BadSelector:
        return BadSelector(f"label selector {self.text!r}: at {piece!r}, {why}")


def _requirement(reader: _Reader) -> Requirement:
    if reader.peek() == "!":
        reader.take()
        return Requirement(_key(reader), "!")
    key = _key(reader)
    operator = reader.peek()
    if operator in {None, ","}:
        return Requirement(key, "exists")
    reader.take()
    if operator in {"=", "=="}:
        return _equal(key, _value(reader))
    if operator == "!=":
        return Requirement(key, "notin", frozenset({_value(reader)}))
    if operator in {"in", "notin"}:
        return Requirement(key, operator, _values(reader))
    if operator in {"<", ">"}:
        return Requirement(key, operator, frozenset({_number(reader)}))
    raise reader.fault(operator or "", "an operator was expected: = == != in notin < >")


def _equal(key: str, value: str) -> Requirement:
    return Requirement(key, "in", frozenset({value}))


def _key(reader: _Reader) -> str:
    key = reader.take()
    prefix, slash, name = key.rpartition("/")
    if _NAME.fullmatch(name) is None or (slash and _PREFIX.fullmatch(prefix) is None):
        raise reader.fault(key, "a label's name was expected")
    return key


def _value(reader: _Reader) -> str:
    """Take a value, which may be empty: ``key=`` and ``key=,other``."""
    if reader.peek() in {None, ",", ")"}:
        return ""
    value = reader.take()
    if _NAME.fullmatch(value) is None:
        raise reader.fault(value, "a label's value was expected")
    return value


def _values(reader: _Reader) -> frozenset[str]:
    reader.expect("(")
    values = {_value(reader)}
    while reader.peek() == ",":
        reader.take()
        values.add(_value(reader))
    reader.expect(")")
    return frozenset(values)


def _number(reader: _Reader) -> str:
    value = reader.take()
    if _integer(value) is None:
        raise reader.fault(value, "a whole number was expected")
    return value


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None


def _compares(value: str | None, operator: str, bounds: frozenset[str]) -> bool:
    number, bound = _integer(value), _integer(next(iter(bounds), None))
    if number is None or bound is None:
        return False
    return number < bound if operator == "<" else number > bound
