"""How long a backtracking matcher may take for a pattern, at worst.

Owns: an upper bound on the ways in which a pattern can match the same text. Refuses to know any
matcher. The bound is a `Cost`: ``factor * n ** degree`` ways for a text of n characters; the
degree of patterns such as ``(a+)+`` is infinite.

A repetition is *decided* if its part cannot begin with a character that may come behind it: then
there is one way to go through it, however often it is tried.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from k8sdns.corefile.regexsyntax import (
    Chars,
    Choice,
    Edge,
    Group,
    Node,
    Repeat,
    Sequence,
    Set,
    ranges,
)


class Cost(NamedTuple):
    """``factor * n ** degree``."""

    degree: float
    factor: float

    def steps(self, length: int) -> float:
        """Return the bound for a text of `length` characters."""
        if math.isinf(self.degree) or math.isinf(self.factor):
            return math.inf
        return self.factor * math.pow(max(length, 2), self.degree)


_ONE = Cost(0, 1)
_ENDLESS = Cost(math.inf, 1)
_MAX_FACTOR = 1e12


def cost(tree: Node) -> Cost:
    """Return the bound on the steps of a search: ways, times places to begin, times length."""
    ways = _ways(tree, ())
    return Cost(ways.degree + 1 + (not _begins_fixed(tree)), ways.factor)


def _begins_fixed(node: Node) -> bool:
    """Tell whether a match can only begin at the start of the text."""
    if isinstance(node, Edge):
        return node.kind == "start"
    if isinstance(node, Sequence):
        return bool(node.parts) and _begins_fixed(node.parts[0])
    if isinstance(node, Choice):
        return all(_begins_fixed(option) for option in node.options)
    return isinstance(node, Group) and _begins_fixed(node.part)


def _first(node: Node) -> tuple[Set, bool]:
    """Return what `node` may begin with, and whether it may be empty."""
    if isinstance(node, Chars):
        return node.ranges, False
    if isinstance(node, Edge):
        return (), True
    if isinstance(node, Group):
        return _first(node.part)
    if isinstance(node, Repeat):
        found, is_empty = _first(node.part)
        return found, is_empty or node.least == 0
    if isinstance(node, Choice):
        firsts = [_first(option) for option in node.options]
        return _union(*(found for found, _ in firsts)), any(empty for _, empty in firsts)
    found = ()
    for part in node.parts:
        more, is_empty = _first(part)
        found = _union(found, more)
        if not is_empty:
            return found, False
    return found, True


def _union(*sets: Set) -> Set:
    return ranges(*(pair for found in sets for pair in found))


def _are_apart(left: Set, right: Set) -> bool:
    return not any(a <= d and c <= b for a, b in left for c, d in right)


def _times(left: Cost, right: Cost) -> Cost:
    return Cost(left.degree + right.degree, min(left.factor * right.factor, _MAX_FACTOR))


def _power(base: Cost, exponent: int) -> Cost:
    if base == _ONE or not exponent:
        return _ONE
    if exponent * math.log10(max(base.factor, 1)) > math.log10(_MAX_FACTOR):
        return _ENDLESS
    return Cost(base.degree * exponent, base.factor**exponent)


def _ways(node: Node, behind: Set) -> Cost:
    """Return in how many ways `node` can match at one place, `behind` being what may follow it."""
    if isinstance(node, Group):
        return _ways(node.part, behind)
    if isinstance(node, Sequence):
        return _ways_of_sequence(node, behind)
    if isinstance(node, Choice):
        return _ways_of_choice(node, behind)
    if isinstance(node, Repeat):
        return _ways_of_repeat(node, behind)
    return _ONE


def _ways_of_sequence(node: Sequence, behind: Set) -> Cost:
    total = _ONE
    for part in reversed(node.parts):
        total = _times(total, _ways(part, behind))
        found, is_empty = _first(part)
        behind = _union(found, behind) if is_empty else found
    return total


def _ways_of_choice(node: Choice, behind: Set) -> Cost:
    costs = [_ways(option, behind) for option in node.options]
    degree = max(each.degree for each in costs)
    starts: list[Set] = []
    for option in node.options:
        found, is_empty = _first(option)
        starts.append(_union(found, behind) if is_empty else found)
    at_once = _union(*starts)
    if sum(b - a + 1 for each in starts for a, b in each) == sum(b - a + 1 for a, b in at_once):
        return Cost(degree, max(each.factor for each in costs))
    return Cost(degree, min(sum(each.factor for each in costs), _MAX_FACTOR))


def _ways_of_repeat(node: Repeat, behind: Set) -> Cost:
    found, is_empty = _first(node.part)
    loops = node.most is None or node.most > 1
    once = _ways(node.part, _union(found, behind) if loops else behind)
    if node.most == node.least:
        return _power(once, node.least)
    is_decided = not is_empty and _are_apart(found, behind)
    if node.most is None:
        if once != _ONE:
            return _ENDLESS
        return _ONE if is_decided else Cost(1, 1)
    exits = Cost(0, 1 if is_decided else node.most - node.least + 1)
    return _times(_power(once, node.most), exits)
