"""Regular expressions as Go has them: its syntax, its matches, and no name that takes long.

Owns: the choice of the matcher. Python's `re` is the faster one, but a pattern such as ``(a+)+$``
would let a stranger's name keep it busy for hours; so where the bound on its steps is too high for
the text at hand, all ways are followed at once instead (`regexlinear`). Both find the same match.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, overload

from k8sdns.corefile.regexcost import cost
from k8sdns.corefile.regexlinear import Linear, Spans
from k8sdns.corefile.regexsyntax import (
    BadPattern,
    Chars,
    Choice,
    Edge,
    Node,
    Repeat,
    Sequence,
    parse,
)

MAX_STEPS: Final = 200_000  # of Python's matcher; some milliseconds

_EDGES: Final = {
    "start": r"\A", "end": r"\Z", "line start": "(?m:^)", "line end": "(?m:$)",
    "word": r"(?a:\b)", "inside": r"(?a:\B)",
}  # fmt: skip


class GoMatch:
    """What a pattern found; the part of `re.Match` that is needed."""

    __slots__ = ("_names", "_spans", "string")

    def __init__(self, text: str, spans: Spans, names: dict[str, int]) -> None:
        self.string = text
        self._spans = spans
        self._names = names

    @overload
    def __getitem__(self, group: Literal[0]) -> str: ...
    @overload
    def __getitem__(self, group: int | str) -> str | None: ...
    def __getitem__(self, group: int | str) -> str | None:
        """Return the text of a group, None if it took no part; IndexError if there is none."""
        start, end = self.span(group)
        return None if start < 0 else self.string[start:end]

    def span(self, group: int | str = 0) -> tuple[int, int]:
        """Return where a group begins and ends, (-1, -1) if it took no part."""
        number = self._names.get(group, -1) if isinstance(group, str) else group
        if not 0 <= number < len(self._spans) // 2:
            raise IndexError("no such group")
        return self._spans[2 * number], self._spans[2 * number + 1]

    @overload
    def groups(self) -> tuple[str | None, ...]: ...
    @overload
    def groups(self, default: str) -> tuple[str, ...]: ...
    def groups(self, default: str | None = None) -> tuple[str | None, ...]:
        """Return the texts of the groups, from the first; `default` for those that took no part."""
        found = (self[number] for number in range(1, len(self._spans) // 2))
        return tuple(default if text is None else text for text in found)

    def groupdict(self) -> dict[str, str | None]:
        """Return the texts of the groups with names."""
        return {name: self[number] for name, number in self._names.items()}


class GoRegex:
    """A compiled pattern. `groups` counts its groups, `groupindex` numbers those with names."""

    __slots__ = ("_cost", "_linear", "_quick", "groupindex", "groups", "pattern")

    def __init__(self, pattern: str) -> None:
        """Raise `BadPattern`, a ValueError, for what Go would refuse, and for Unicode classes."""
        parsed = parse(pattern)
        self.pattern = pattern
        self.groups = parsed.groups
        self.groupindex = parsed.names
        self._cost = cost(parsed.tree)
        self._linear = Linear(parsed)
        try:
            self._quick: Any = re.compile(_python(parsed.tree))
        except (re.error, RecursionError, OverflowError) as error:
            raise BadPattern(str(error)) from None

    def search(self, text: str) -> GoMatch | None:
        """Return the leftmost match in `text`, None without one."""
        if self._cost.steps(len(text)) > MAX_STEPS:
            spans = self._linear.search(text)
            return None if spans is None else GoMatch(text, spans, self.groupindex)
        match = self._quick.search(text)
        if match is None:
            return None
        spans = tuple(place for span in match.regs for place in span)
        return GoMatch(text, spans, self.groupindex)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoRegex) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"<GoRegex {self.pattern!r}>"


def _python(node: Node) -> str:
    """Return a tree as Python writes it; every group captures by number."""
    if isinstance(node, Chars):
        return "[" + "".join(map(_range, node.ranges)) + "]" if node.ranges else "(?!)"
    if isinstance(node, Edge):
        return _EDGES[node.kind]
    if isinstance(node, Sequence):
        return "".join(map(_python, node.parts))
    if isinstance(node, Choice):
        return "(?:" + "|".join(map(_python, node.options)) + ")"
    if isinstance(node, Repeat):
        most = "" if node.most is None else node.most
        return f"(?:{_python(node.part)}){{{node.least},{most}}}" + "?" * (not node.greedy)
    return f"({_python(node.part)})"


def _range(pair: tuple[int, int]) -> str:
    low, high = pair
    return f"\\U{low:08x}" if low == high else f"\\U{low:08x}-\\U{high:08x}"
