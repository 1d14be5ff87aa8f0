"""Expressions over a question, of `view` and `template`: a small part of the language expr-lang.

Owns: reading an expression, and what its operators mean. The text becomes functions that call one
another; nothing of it is ever run as Python. Types are judged when it is read, so that a mistake is
found before the first query; sizes are bounded, and there are no loops. Refuses to know what is
done with the result.

    incidr(client_ip(), '10.0.0.0/8') and not (name() endsWith '.example.org.')
    type() in ['A', 'AAAA'] || metadata('kubernetes/client-namespace') == 'shop'
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from k8sdns.answers import Question
from k8sdns.authorities.expressionfunctions import (
    BOOL,
    FUNCTIONS,
    LIST,
    NUMBER,
    TEXT,
    Evaluate,
    Function,
)
from k8sdns.corefile.patterns import compiled as compiled_pattern

MAX_CHARACTERS: Final = 4096
MAX_WORDS: Final = 500  # each can be one call inside another: well below Python's limit
MAX_DEPTH: Final = 64
_MAX_DIGITS = 18


class BadExpression(ValueError):
    """An expression that cannot be read; the message says what is wrong and where."""


class Node(NamedTuple):
    """A part of an expression: what it gives, how, and its value if that is constant."""

    gives: str
    evaluate: Evaluate
    value: Any = None
    items: str = ""  # what a list holds

    @property
    def is_constant(self) -> bool:
        return self.value is not None


class Word(NamedTuple):
    """A token: `kind` is text, number, name or sign."""

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>==|!=|<=|>=|&&|\|\||\*\*|[-+*/%<>!?:,()\[\]])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_BINDS: Final = {
    "or": 10, "||": 10, "and": 15, "&&": 15,
    "==": 20, "!=": 20, "<": 20, "<=": 20, ">": 20, ">=": 20,
    "in": 20, "not": 20, "matches": 20, "contains": 20, "startsWith": 20, "endsWith": 20,
    "+": 30, "-": 30, "*": 60, "/": 60, "%": 60,
}  # fmt: skip
_UNARY_BINDS = {"not": 50, "!": 50, "-": 90, "+": 90}
_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "%": operator.mod, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_TEXT_TESTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": operator.contains, "startsWith": str.startswith, "endsWith": str.endswith,
}  # fmt: skip


class Expression:
    """An expression that was read; `admits` tells whether it is true of a question."""

    def __init__(self, text: str, gives: tuple[str, ...] = (BOOL,)) -> None:
        """`gives`: the kinds of values it may have; raises `BadExpression`."""
        self.text = text
        reader = _Reader(text)
        self._evaluate = reader.whole(gives).evaluate
        self.uses_metadata = "metadata" in reader.called

    def admits(self, question: Question) -> bool:
        """Tell whether it is true; what cannot be computed is not true (CoreDNS)."""
        try:
            return self._evaluate(question) is True
        except (ValueError, ArithmeticError):
            return False

    def value(self, question: Question) -> str | float | bool:
        """Return its value; raises `ValueError` or `ArithmeticError` where it has none."""
        value: str | float | bool = self._evaluate(question)
        return value


def _words(text: str) -> list[Word]:
    if len(text) > MAX_CHARACTERS:
        raise BadExpression(f"an expression has at most {MAX_CHARACTERS} characters")
    found: list[Word] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise BadExpression(f"cannot read {text[at:].strip()[:20]!r} at character {at + 1}")
        if len(found) == MAX_WORDS:
            raise BadExpression(f"an expression has at most {MAX_WORDS} words")
        found.append(Word(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return found


class _Reader:
    """One pass over the words, by the binding power of operators."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._at = 0
        self._depth = 0
        self.called: set[str] = set()

    def whole(self, gives: tuple[str, ...]) -> Node:
        """Read everything; it must be of one of the kinds in `gives`."""
        node = self._conditional()
        if self._at < len(self._words):
            raise self._unexpected()
        if node.gives not in gives:
            raise BadExpression(f"the expression gives a {node.gives}, not {' or '.join(gives)}")
        return node

    # -- words -----------------------------------------------------------------------------

    def _next(self) -> str:
        """Return the sign or name that comes next, "" for anything else."""
        if self._at >= len(self._words):
            return ""
        word = self._words[self._at]
        return word.text if word.kind in {"sign", "name"} else ""

    def _take(self, text: str) -> bool:
        if self._next() != text:
            return False
        self._at += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(f", expecting {text!r}")

    def _unexpected(self, wanted: str = "") -> BadExpression:
        if self._at >= len(self._words):
            return BadExpression(f"the expression ends too early{wanted}")
        word = self._words[self._at]
        return BadExpression(f"unexpected {word.text!r} at character {word.at + 1}{wanted}")

    # -- operators -------------------------------------------------------------------------

    def _conditional(self) -> Node:
        """Read ``A ? B : C``, or A alone."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadExpression(f"an expression nests at most {MAX_DEPTH} deep")
        node = self._binary(0)
        if self._take("?"):
            then = self._conditional()
            self._expect(":")
            other = self._conditional()
            _must(node, BOOL, "?")
            _must(other, then.gives, ":")
            ask, yes, no = node.evaluate, then.evaluate, other.evaluate
            node = Node(then.gives, lambda q: yes(q) if ask(q) else no(q), items=then.items)
        self._depth -= 1
        return node

    def _binary(self, least: int) -> Node:
        node = self._unary()
        while True:
            sign = self._next()
            binds = _BINDS.get(sign, -1)
            if binds <= least:
                return node
            self._at += 1
            is_negated = sign == "not"
            if is_negated:
                sign = self._next()
                if sign not in {"in", *_TEXT_TESTS, "matches"}:
                    raise self._unexpected(", expecting 'in'")
                self._at += 1
            node = _combined(sign, node, self._binary(binds))
            if is_negated:
                node = _negated(node)

    def _unary(self) -> Node:
        sign = self._next()
        if sign not in _UNARY_BINDS:
            return self._single()
        self._at += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadExpression(f"an expression nests at most {MAX_DEPTH} deep")
        node = self._binary(_UNARY_BINDS[sign])
        self._depth -= 1
        if sign in {"not", "!"}:
            _must(node, BOOL, sign)
            return _negated(node)
        _must(node, NUMBER, sign)
        evaluate = node.evaluate
        return Node(NUMBER, lambda q: -evaluate(q)) if sign == "-" else node

    # -- single things ---------------------------------------------------------------------

    def _single(self) -> Node:
        if self._at >= len(self._words):
            raise self._unexpected()
        word = self._words[self._at]
        if word.kind == "text":
            self._at += 1
            return _constant(TEXT, _unquoted(word.text))
        if word.kind == "number":
            self._at += 1
            return _constant(NUMBER, _number(word))
        if self._take("("):
            node = self._conditional()
            self._expect(")")
            return node
        if self._take("["):
            return self._list()
        if word.kind == "name":
            return self._named()
        raise self._unexpected()

    def _list(self) -> Node:
        nodes = self._until("]")
        if not nodes:
            raise BadExpression("a list needs at least one item")
        for node in nodes:
            _must(node, nodes[0].gives, "a list of one kind")
        evaluates = [node.evaluate for node in nodes]
        if all(node.is_constant for node in nodes):
            values = frozenset(node.value for node in nodes)
            return Node(LIST, lambda _: values, values, nodes[0].gives)
        return Node(LIST, lambda q: [each(q) for each in evaluates], items=nodes[0].gives)

    def _until(self, end: str) -> list[Node]:
        """Read what stands between commas, up to the sign `end`."""
        nodes: list[Node] = []
        while not self._take(end):
            if nodes:
                self._expect(",")
            nodes.append(self._conditional())
        return nodes

    def _named(self) -> Node:
        word = self._words[self._at]
        self._at += 1
        if word.text in {"true", "false"}:
            return _constant(BOOL, word.text == "true")
        function = FUNCTIONS.get(word.text)
        if function is None:
            known = ", ".join(sorted(FUNCTIONS))
            raise BadExpression(f"unknown name '{word.text}': there are {known}")
        self._expect("(")
        self.called.add(word.text)
        return _called(word.text, function, self._until(")"))


def _constant(gives: str, value: Any) -> Node:
    return Node(gives, lambda _: value, value)


def _number(word: Word) -> float:
    if len(word.text) > _MAX_DIGITS:
        raise BadExpression(f"{word.text[:20]}… is too long a number")
    return float(word.text) if "." in word.text else int(word.text)


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1], flags=re.DOTALL)


def _must(node: Node, gives: str, where: str) -> None:
    if node.gives != gives:
        raise BadExpression(f"{where} needs {gives}, not {node.gives}")


def _negated(node: Node) -> Node:
    evaluate = node.evaluate
    return Node(BOOL, lambda q: not evaluate(q))


def _called(name: str, function: Function, arguments: list[Node]) -> Node:
    if len(arguments) != len(function.takes):
        raise BadExpression(f"{name}() takes {len(function.takes)} arguments, not {len(arguments)}")
    for node, gives in zip(arguments, function.takes, strict=True):
        _must(node, gives, f"{name}()")
    if function.checks is not None and arguments[-1].is_constant:
        try:
            function.checks(*(node.value for node in arguments))
        except ValueError as error:
            raise BadExpression(f"{name}(): {error}") from None
    call = function.call
    evaluates = tuple(node.evaluate for node in arguments)
    if not evaluates:
        return Node(function.gives, call)
    return Node(function.gives, lambda q: call(q, *[each(q) for each in evaluates]))


def _combined(sign: str, left: Node, right: Node) -> Node:
    """Return what an operator makes of two parts."""
    one, other = left.evaluate, right.evaluate
    if sign in {"and", "&&", "or", "||"}:
        _must(left, BOOL, sign)
        _must(right, BOOL, sign)
        if sign in {"and", "&&"}:
            return Node(BOOL, lambda q: one(q) and other(q))
        return Node(BOOL, lambda q: one(q) or other(q))
    if sign == "in":
        _must(right, LIST, sign)
        _must(left, right.items, sign)
        return Node(BOOL, lambda q: one(q) in other(q))
    if sign == "matches":
        return _matching(left, right)
    if sign in _TEXT_TESTS:
        _must(left, TEXT, sign)
        _must(right, TEXT, sign)
        test = _TEXT_TESTS[sign]
        return Node(BOOL, lambda q: test(one(q), other(q)))
    return _computed(sign, left, right)


def _matching(left: Node, right: Node) -> Node:
    """Only patterns that stand there are matched: compiled once, and by whom is known."""
    _must(left, TEXT, "matches")
    if right.gives != TEXT or not right.is_constant:
        raise BadExpression("matches needs a regular expression in quotes")
    try:
        search = compiled_pattern(right.value).search
    except ValueError as error:
        raise BadExpression(str(error)) from None
    evaluate = left.evaluate
    return Node(BOOL, lambda q: search(evaluate(q)) is not None)


def _computed(sign: str, left: Node, right: Node) -> Node:
    one, other = left.evaluate, right.evaluate
    compute = _ARITHMETIC[sign]
    _must(right, left.gives, sign)
    if sign in {"==", "!="}:
        return Node(BOOL, lambda q: compute(one(q), other(q)))
    if left.gives != NUMBER and not (left.gives == TEXT and sign in {"+", *_COMPARISONS}):
        raise BadExpression(f"{sign} needs numbers, not {left.gives}")
    gives = BOOL if sign in _COMPARISONS else left.gives
    return Node(gives, lambda q: compute(one(q), other(q)))
