"""The syntax of Go's regular expressions (RE2), as a tree.

Owns: reading a pattern, with RE2's rules and refusals. Refuses to know how patterns are matched.

A tree is made of tuples: `Chars` for one character out of a set, `Edge` for a place between
characters, `Sequence`, `Choice`, `Repeat` and `Group`. Sets are sorted ranges of code points.
"""

from __future__ import annotations

import re
import string
from typing import Final, NamedTuple, TypeAlias

MAX_PATTERN: Final = 10_000  # characters; CoreDNS's bound
MAX_REPEAT: Final = 1000  # RE2's bound on {n}
MAX_NESTING: Final = 100  # groups in one another
_LAST = 0x10FFFF

Set: TypeAlias = tuple[tuple[int, int], ...]
Node: TypeAlias = "Chars | Edge | Sequence | Choice | Repeat | Group"


class Chars(NamedTuple):
    """One character of a set."""

    ranges: Set


class Edge(NamedTuple):
    """A place: ``start``, ``end``, ``line start``, ``line end``, ``word``, ``inside``."""

    kind: str


class Sequence(NamedTuple):
    """One after another; empty for the empty string."""

    parts: tuple[Node, ...]


class Choice(NamedTuple):
    """The first of several that leads to a match."""

    options: tuple[Node, ...]


class Repeat(NamedTuple):
    """From `least` to `most` times (None: any number), as many or as few as possible."""

    part: Node
    least: int
    most: int | None
    greedy: bool


class Group(NamedTuple):
    """A group that captures."""

    part: Node
    number: int


class Parsed(NamedTuple):
    """A pattern as a tree, how many groups it has, and the numbers of those with names."""

    tree: Node
    groups: int
    names: dict[str, int]


class BadPattern(ValueError):
    """A pattern that RE2 would refuse, or that is not supported; the message says why."""


def ranges(*pairs: tuple[int, int]) -> Set:
    """Return the union of ranges, sorted and merged."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def negated(found: Set) -> Set:
    """Return all characters but those of a set."""
    left, at = [], 0
    for low, high in found:
        if at < low:
            left.append((at, low - 1))
        at = high + 1
    return tuple(left) if at > _LAST else (*left, (at, _LAST))


def _of(text: str) -> Set:
    return ranges(*((ord(char), ord(char)) for char in text))


_DIGIT, _SPACE = _of(string.digits), _of("\t\n\f\r ")
_WORD = _of(string.ascii_letters + string.digits + "_")
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX = {
    "alnum": _of(string.ascii_letters + string.digits), "alpha": _of(string.ascii_letters),
    "ascii": ((0, 127),), "blank": _of("\t "), "cntrl": ((0, 31), (127, 127)), "digit": _DIGIT,
    "graph": ((33, 126),), "lower": _of(string.ascii_lowercase), "print": ((32, 126),),
    "punct": _of(string.punctuation), "space": _of("\t\n\v\f\r "),
    "upper": _of(string.ascii_uppercase), "word": _WORD, "xdigit": _of(string.hexdigits),
}  # fmt: skip
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_EDGES = {"A": "start", "z": "end", "b": "word", "B": "inside"}
_REPEAT = re.compile(r"\{(\d{1,9})(?:(,)(\d{1,9})?)?\}")
_GROUP_NAME = re.compile(r"\(\?P?<(\w+)>", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(-[imsU]+)?([:)])")
_HEX = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{2}))")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})")
_POSIX_NAME = re.compile(r"\[:(\^?)(\w+):\]")


def parse(pattern: str) -> Parsed:
    """Return the tree of `pattern`; raises `BadPattern`."""
    if len(pattern) > MAX_PATTERN:
        raise BadPattern(f"regex pattern too long: {len(pattern)} > {MAX_PATTERN} characters")
    return _Parser(pattern).parsed()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._flags = ""
        self._groups = 0
        self._names: dict[str, int] = {}
        self._nesting = 0

    def parsed(self) -> Parsed:
        tree = self._choice()
        if self._at < len(self._pattern):
            raise BadPattern("unexpected )")
        return Parsed(tree, self._groups, self._names)

    def _starts(self, text: str) -> bool:
        return self._pattern.startswith(text, self._at)

    def _take(self, match: re.Match[str]) -> re.Match[str]:
        self._at = match.end()
        return match

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._starts("|"):
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            if self._starts(r"\Q"):
                parts += self._quoted()
                continue
            atom = self._atom()
            if atom is not None:
                parts.append(self._repeated(atom))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quoted(self) -> list[Node]:
        text, end, _ = self._pattern[self._at + 2 :].partition(r"\E")
        self._at += 2 + len(text) + len(end)
        parts: list[Node] = [self._one(char) for char in text]
        return [*parts[:-1], self._repeated(parts[-1])] if parts else []

    def _repeated(self, atom: Node) -> Node:
        found = self._count()
        if found is None:
            return atom
        greedy = not self._starts("?")
        self._at += not greedy
        if self._count() is not None:
            raise BadPattern("invalid nested repetition operator")
        least, most = found
        return Repeat(atom, least, most, greedy != ("U" in self._flags))

    def _count(self) -> tuple[int, int | None] | None:
        """Read ``*``, ``+``, ``?`` or ``{n,m}``, None if there is none."""
        char = self._pattern[self._at : self._at + 1]
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if char in simple:
            self._at += 1
            return simple[char]
        match = _REPEAT.match(self._pattern, self._at)
        if match is None:
            return None
        self._take(match)
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise BadPattern(f"invalid repeat count: {match[0]}")
        return least, most

    def _atom(self) -> Node | None:
        """Read what a repetition applies to; None for flags alone."""
        char = self._pattern[self._at]
        if char in "*+?":
            raise BadPattern(f"missing argument to repetition operator: {char}")
        if char == "(":
            return self._group()
        if char == "[":
            return Chars(self._folded(self._set()))
        if char == "\\":
            return self._escaped()
        self._at += 1
        if char == ".":
            return Chars(negated(() if "s" in self._flags else _of("\n")))
        if char in "^$":
            word = "start" if char == "^" else "end"
            return Edge(f"line {word}" if "m" in self._flags else word)
        return self._one(char)

    def _one(self, char: str) -> Chars:
        return Chars(self._folded(_of(char)))

    def _folded(self, found: Set) -> Set:
        if "i" not in self._flags:
            return found
        pairs = list(found)
        for low, high in found:
            for first, last, shift in ((65, 90, 32), (97, 122, -32)):
                if low <= last and high >= first:
                    pairs.append((max(low, first) + shift, min(high, last) + shift))
        return ranges(*pairs)

    def _group(self) -> Node | None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise BadPattern(f"groups are nested more than {MAX_NESTING} deep")
        flags = self._flags
        node = self._group_inside()
        if node is not None:
            self._flags = flags
        self._nesting -= 1
        return node

    def _group_inside(self) -> Node | None:
        match = _FLAGS.match(self._pattern, self._at)
        if match is not None:
            self._take(match)
            kept = set(self._flags) | set(match[1])
            self._flags = "".join(kept - set(match[2] or ""))
            return self._closed(self._choice()) if match[3] == ":" else None
        name = _GROUP_NAME.match(self._pattern, self._at)
        if name is None and self._starts("(?"):
            raise BadPattern(f"invalid or unsupported Perl syntax: {self._pattern[self._at :][:3]}")
        self._groups += 1
        number = self._groups
        if name is None:
            self._at += 1
        else:
            self._take(name)
            if name[1] in self._names:
                raise BadPattern(f"duplicate capture group name: {name[1]}")
            self._names[name[1]] = number
        return Group(self._closed(self._choice()), number)

    def _closed(self, node: Node) -> Node:
        if not self._starts(")"):
            raise BadPattern("missing closing )")
        self._at += 1
        return node

    def _escaped(self) -> Node:
        char = self._pattern[self._at + 1 : self._at + 2]
        if char in _EDGES and char:
            self._at += 2
            return Edge(_EDGES[char])
        return Chars(self._folded(self._escaped_set()))

    def _escaped_set(self) -> Set:
        """Read a backslash and what it makes, inside of brackets or not."""
        pattern, at = self._pattern, self._at
        char = pattern[at + 1 : at + 2]
        for form, base in ((_HEX, 16), (_OCTAL, 8)):
            match = form.match(pattern, at)
            if match is not None:
                code = int(next(digits for digits in match.groups() if digits), base)
                if code > _LAST:
                    break
                self._take(match)
                return ((code, code),)
        self._at += 2
        if char.lower() in _PERL and char:
            found = _PERL[char.lower()]
            return found if char.islower() else negated(found)
        if char in _CONTROLS:
            return ((_CONTROLS[char], _CONTROLS[char]),)
        if char and char in string.punctuation:
            return _of(char)
        if char in {"p", "P"}:
            raise BadPattern(f"\\{char}: Unicode classes are not supported, names are ASCII")
        raise BadPattern(f"invalid escape sequence: \\{char}" if char else "trailing backslash")

    def _set(self) -> Set:
        self._at += 1
        is_negated = self._starts("^")
        self._at += is_negated
        found: list[tuple[int, int]] = []
        is_first = True
        while is_first or not self._starts("]"):
            if self._at >= len(self._pattern):
                raise BadPattern("missing closing ]")
            posix = _POSIX_NAME.match(self._pattern, self._at)
            found += self._posix(self._take(posix)) if posix else self._range()
            is_first = False
        self._at += 1
        merged = self._folded(ranges(*found))
        return negated(merged) if is_negated else merged

    def _posix(self, match: re.Match[str]) -> Set:
        found = _POSIX.get(match[2])
        if found is None:
            raise BadPattern(f"invalid character class range: {match[0]}")
        return negated(found) if match[1] else found

    def _range(self) -> Set:
        low = self._member()
        after = self._pattern[self._at + 1 : self._at + 2]
        if not self._starts("-") or after in {"]", ""}:
            return low
        self._at += 1
        high = self._member()
        is_range = (
            len(low) == len(high) == 1 and low[0][0] == low[0][1] and high[0][0] == high[0][1]
        )
        if not is_range or low[0][0] > high[0][0]:
            raise BadPattern("invalid character class range")
        return ((low[0][0], high[0][0]),)

    def _member(self) -> Set:
        if self._starts("\\"):
            return self._escaped_set()
        char = self._pattern[self._at : self._at + 1]
        if not char:
            raise BadPattern("missing closing ]")
        self._at += 1
        return _of(char)
