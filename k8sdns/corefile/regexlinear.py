"""Matching in time linear in the text, whatever the pattern: all ways are followed at once.

Owns: a tree of `regexsyntax` as a program, and the machine that runs it (Pike's; Cox, "Regular
Expression Matching: the Virtual Machine Approach"). Slower than `re` on the usual names, but a
stranger's name cannot make it slow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from k8sdns.corefile.regexsyntax import (
    BadPattern,
    Chars,
    Choice,
    Edge,
    Group,
    Node,
    Parsed,
    Repeat,
    Sequence,
    Set,
)

MAX_PROGRAM: Final = 20_000  # instructions; counted repetitions are written out
_ASCII: Final = 128

Spans = tuple[int, ...]  # start and end of each group, -1 where it took no part


class _Instruction(NamedTuple):
    """`word` is chars, edge, split, jump, save or match; what the rest means depends on it."""

    word: str
    first: int = 0  # split: preferred target; jump: target; save: slot
    second: int = 0  # split: other target
    ascii: frozenset[int] = frozenset()  # chars: code points below 128
    ranges: Set = ()  # chars: all of them
    kind: str = ""  # edge


class Linear:
    """A program for one pattern."""

    def __init__(self, parsed: Parsed) -> None:
        """Raise `BadPattern` for a program that would be too large."""
        self._slots = 2 * (parsed.groups + 1)
        self._program: list[_Instruction] = []
        self._emit(Group(parsed.tree, 0))
        self._add(_Instruction("match"))

    def _add(self, instruction: _Instruction) -> int:
        if len(self._program) >= MAX_PROGRAM:
            raise BadPattern("expression too large: it repeats too much")
        self._program.append(instruction)
        return len(self._program) - 1

    def _emit(self, node: Node) -> None:
        if isinstance(node, Chars):
            low = {code for a, b in node.ranges for code in range(a, min(b, _ASCII - 1) + 1)}
            self._add(_Instruction("chars", ascii=frozenset(low), ranges=node.ranges))
        elif isinstance(node, Edge):
            self._add(_Instruction("edge", kind=node.kind))
        elif isinstance(node, Sequence):
            for part in node.parts:
                self._emit(part)
        elif isinstance(node, Choice):
            self._emit_choice(node)
        elif isinstance(node, Repeat):
            self._emit_repeat(node)
        else:
            self._add(_Instruction("save", 2 * node.number))
            self._emit(node.part)
            self._add(_Instruction("save", 2 * node.number + 1))

    def _emit_choice(self, node: Choice) -> None:
        ends = []
        for option in node.options[:-1]:
            split = self._add(_Instruction("split"))
            self._emit(option)
            ends.append(self._add(_Instruction("jump")))
            self._program[split] = _Instruction("split", split + 1, len(self._program))
        self._emit(node.options[-1])
        for end in ends:
            self._program[end] = _Instruction("jump", len(self._program))

    def _emit_repeat(self, node: Repeat) -> None:
        if node.most is None:
            self._emit_loop(node)
            return
        for _ in range(node.least):
            self._emit(node.part)
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self._add(_Instruction("split")))
            self._emit(node.part)
        for split in splits:
            self._branch(split, node)

    def _emit_loop(self, node: Repeat) -> None:
        """``x*`` is ``(x+)?``: with an `x` that may be empty, only that is what Perl finds (Go)."""
        for _ in range(node.least - 1):
            self._emit(node.part)
        skip = self._add(_Instruction("split")) if not node.least else None
        start = len(self._program)
        self._emit(node.part)
        end = len(self._program) + 1
        self._add(_Instruction("split", *((start, end) if node.greedy else (end, start))))
        if skip is not None:
            self._branch(skip, node)

    def _branch(self, split: int, node: Repeat) -> None:
        targets = (split + 1, len(self._program))
        self._program[split] = _Instruction("split", *(targets if node.greedy else targets[::-1]))

    def search(self, text: str) -> Spans | None:
        """Return the spans of the leftmost match, preferred as RE2 prefers; None without one."""
        found: Spans | None = None
        threads: list[tuple[int, Spans]] = []
        seen: set[int] = set()  # instructions that were reached at this place
        nothing = (-1,) * self._slots
        for at in range(len(text) + 1):
            if found is None:
                self._follow(threads, seen, 0, nothing, text, at)
            code = ord(text[at]) if at < len(text) else -1
            after: list[tuple[int, Spans]] = []
            following: set[int] = set()
            for pc, spans in threads:
                instruction = self._program[pc]
                if instruction.word == "match":
                    found = spans
                    break  # the threads behind this one are less preferred
                if code >= 0 and _holds(instruction, code):
                    self._follow(after, following, pc + 1, spans, text, at + 1)
            threads, seen = after, following
            if found is not None and not threads:
                break
        return found

    def _follow(
        self,
        threads: list[tuple[int, Spans]],
        seen: set[int],
        start: int,
        spans: Spans,
        text: str,
        at: int,
    ) -> None:
        """Add what can be reached from `start` without a character, the preferred first."""
        stack = [(start, spans)]
        while stack:
            pc, held = stack.pop()
            if pc in seen:
                continue
            seen.add(pc)
            instruction = self._program[pc]
            word = instruction.word
            if word == "jump":
                stack.append((instruction.first, held))
            elif word == "split":
                stack.append((instruction.second, held))
                stack.append((instruction.first, held))
            elif word == "save":
                slot = instruction.first
                stack.append((pc + 1, (*held[:slot], at, *held[slot + 1 :])))
            elif word == "edge":
                if _is_edge(instruction.kind, text, at):
                    stack.append((pc + 1, held))
            else:
                threads.append((pc, held))


def _holds(instruction: _Instruction, code: int) -> bool:
    if code < _ASCII:
        return code in instruction.ascii
    return any(low <= code <= high for low, high in instruction.ranges)


def _is_edge(kind: str, text: str, at: int) -> bool:
    if kind == "start":
        return at == 0
    if kind == "end":
        return at == len(text)
    if kind == "line start":
        return at == 0 or text[at - 1] == "\n"
    if kind == "line end":
        return at == len(text) or text[at] == "\n"
    before, after = _is_word(text[at - 1 : at] if at else ""), _is_word(text[at : at + 1])
    return (before != after) is (kind == "word")


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")
