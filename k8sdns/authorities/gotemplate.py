"""Templates as Go's text/template writes them, the part of it that Corefiles use.

Owns: the syntax and its execution: fields, variables, pipelines, `if`, `range`, `with`, trim
markers and comments. Refuses to know which values templates are given, and what the text is for.
What is left of the language (`define`, `template`, `block`, `break`, `continue`, `html`, `js`,
`urlquery`, `call`) is refused when a template is compiled.

A template becomes the closures of `gosteps`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from k8sdns.authorities import gosteps
from k8sdns.authorities.gofunctions import FUNCTIONS, ExecutionError, shown
from k8sdns.authorities.gosteps import Scope, Step, Value

MAX_TEMPLATE: Final = 10_000  # characters
_MAX_DEPTH: Final = 50  # parentheses and blocks in one another

_OPEN = re.compile(r"\{\{(?:-(?=\s))?")
_COMMENT = re.compile(r"\{\{(?:-\s)?/\*.*?\*/(?:\s-)?\}\}", re.DOTALL)
_CLOSE = re.compile(r"\s*(?:(?<=\s)-)?\}\}")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    |(?P<char>'(?:\\.|[^'\\])')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?))
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|[=|(),.])""",
    re.VERBOSE,
)
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
_REFUSED: Final = {
    "define",
    "template",
    "block",
    "break",
    "continue",
    "html",
    "js",
    "urlquery",
    "call",
}


class TemplateError(ValueError):
    """A template that cannot be compiled; the message says where and why."""


class _Token(NamedTuple):
    kind: str  # of `_TOKEN`; "text", "end" of an action
    text: str
    is_joined: bool = False  # to the token before it, without a space


class GoTemplate:
    """A compiled template."""

    def __init__(self, text: str, fields: Collection[str] = ()) -> None:
        """`fields`: those that the root value has, to be told about others now; () to not check.

        Raises `TemplateError`.
        """
        self.text = text
        if len(text) > MAX_TEMPLATE:
            raise TemplateError(f"a template has at most {MAX_TEMPLATE} characters")
        self._steps = _Parser(_tokens(text), fields).template()

    def execute(self, root: Any) -> str:
        """Return the text for the value `root`; raises `ExecutionError`."""
        scope = Scope(root)
        try:
            gosteps.run(self._steps, scope)
        except TypeError as error:  # a function with the wrong number of arguments
            raise ExecutionError(str(error)) from None
        return "".join(scope.written)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GoTemplate) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, trims = 0, False
    while at < len(text):
        opening = _OPEN.search(text, at)
        plain = text[at : opening.start() if opening else len(text)]
        if trims:
            plain = plain.lstrip()
        if opening and opening[0].endswith("-"):
            plain = plain.rstrip()
        found.append(_Token("text", plain))
        if opening is None:
            break
        comment = _COMMENT.match(text, opening.start())
        at = comment.end() if comment else _action(text, opening.end(), found)
        trims = text[:at].endswith("-}}")
    return found


def _action(text: str, at: int, found: list[_Token]) -> int:
    """Add the tokens of one action; return where the text goes on."""
    is_joined = False
    while not (closing := _CLOSE.match(text, at)):
        match = _TOKEN.match(text, at)
        if match is None:
            here = text[at : at + 10]
            raise TemplateError(f"unexpected '{here}' in action" if here else "unclosed action")
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_Token(kind, match[0], is_joined))
        is_joined = kind != "space"
        at = match.end()
    found.append(_Token("end", "}}"))
    return closing.end()


class _Parser:
    """Tokens to closures, one method a rule of the grammar."""

    def __init__(self, tokens: list[_Token], fields: Collection[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._fields = fields
        self._names = ["$"]  # variables in scope
        self._is_root = True  # dot is what the template was given
        self._depth = 0

    def template(self) -> list[Step]:
        steps, end = self._body()
        if end:
            raise TemplateError(f"unexpected {{{{{end}}}}}")
        return steps

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("", "")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _accept(self, text: str) -> bool:
        token = self._peek()
        if token.kind in {"word", "mark", "end"} and token.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise TemplateError(
                f"unexpected '{self._peek().text or 'end of the text'}', not {text}"
            )

    def _body(self) -> tuple[list[Step], str]:
        """Read up to ``{{end}}`` or ``{{else}}``; return the steps and which of them it was."""
        steps: list[Step] = []
        names = len(self._names)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TemplateError("too deeply nested")
        end = ""
        while self._at < len(self._tokens) and not end:
            token = self._peek()
            if token.kind == "text":
                self._at += 1
                if token.text:
                    steps.append(gosteps.writing(token.text))
            elif token.kind == "word" and token.text in {"end", "else"}:
                end = self._next().text
            else:
                steps.append(self._action())
        del self._names[names:]
        self._depth -= 1
        return steps, end

    def _action(self) -> Step:
        token = self._peek()
        if token.kind == "word" and token.text in {"if", "with", "range"}:
            self._at += 1
            return self._block(token.text)
        name, declares, value = self._pipeline_with_variable()
        self._expect("}}")
        if not name:
            return lambda scope: scope.write(shown(value(scope)))
        if declares:
            return lambda scope: scope.variables.append((name, value(scope)))
        return lambda scope: scope.assign(name, value(scope))

    def _pipeline_with_variable(self) -> tuple[str, bool, Value]:
        """Read ``$x := pipeline``, ``$x = pipeline`` or a pipeline alone."""
        token = self._peek()
        after = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else token
        if token.kind != "variable" or after.text not in {":=", "="}:
            return "", False, self._pipeline()
        self._at += 2
        value = self._pipeline()
        if after.text == ":=":
            self._names.append(token.text)
        else:
            self._known(token.text)
        return token.text, after.text == ":=", value

    def _block(self, word: str) -> Step:
        names, was_root = len(self._names), self._is_root
        if word == "range":
            pair, value = self._range_head()
            make = gosteps.ranging
        else:
            name, _, value = self._pipeline_with_variable()
            pair = (name,) if name else ()
            make = gosteps.choosing if word == "if" else gosteps.binding
        self._expect("}}")
        self._is_root = was_root and word == "if"
        steps, end = self._body()
        self._is_root = was_root
        others = self._else(word) if end == "else" else []
        if end == "end":
            self._expect("}}")
        elif not end:
            raise TemplateError(f"{{{{{word}}}}} without {{{{end}}}}")
        del self._names[names:]
        return make(pair, value, steps, others)

    def _else(self, word: str) -> list[Step]:
        """Read what follows ``{{else``: another `if` or `with`, or steps up to ``{{end}}``."""
        for kind in ("if", "with"):
            if self._accept(kind):
                return [self._block(kind)]
        self._expect("}}")
        steps, end = self._body()
        if end != "end":
            raise TemplateError(f"{{{{{word}}}}} without {{{{end}}}}")
        self._expect("}}")
        return steps

    def _range_head(self) -> tuple[tuple[str, ...], Value]:
        start, names = self._at, []
        while self._peek().kind == "variable":
            names.append(self._next().text)
            if not self._accept(","):
                break
        if not names or not self._accept(":="):
            self._at = start
            return (), self._pipeline()
        if len(names) > 2:
            raise TemplateError("range takes at most two variables")
        value = self._pipeline()
        self._names += names
        return tuple(names), value

    def _pipeline(self) -> Value:
        value = self._command(None)
        while self._accept("|"):
            value = self._command(value)
        return value

    def _command(self, piped: Value | None) -> Value:
        token = self._peek()
        if token.kind == "word" and token.text not in _CONSTANTS:
            self._at += 1
            arguments = self._operands()
            return _calling(token.text, arguments + ([piped] if piped else []))
        operands = self._operands()
        if not operands:
            raise TemplateError(f"missing value before '{token.text}'")
        arguments = operands[1:] + ([piped] if piped else [])
        return (
            gosteps.invoking(operands[0], arguments) if arguments else gosteps.invoked(operands[0])
        )

    def _operands(self) -> list[Value]:
        found = []
        while (value := self._operand()) is not None:
            while self._peek().kind == "field" and self._peek().is_joined:
                value = gosteps.field(value, self._next().text[1:])
            found.append(value)
        return found

    def _operand(self) -> Value | None:
        token = self._peek()
        if token.kind in {"string", "char", "number"}:
            self._at += 1
            return gosteps.constant(_literal(token))
        if token.kind == "field":
            self._at += 1
            self._check_field(token.text[1:], is_root=self._is_root)
            return gosteps.field(gosteps.dot, token.text[1:])
        if token.kind == "variable":
            self._at += 1
            return self._variable(token.text)
        if token.kind == "word":
            self._at += 1
            if token.text in _CONSTANTS:
                return gosteps.constant(_CONSTANTS[token.text])
            return _calling(token.text, [])
        if token.kind == "mark" and token.text == "." and token.is_joined:
            raise TemplateError("unexpected '.': an item by number is index .Match 1")
        if self._accept("."):
            return gosteps.dot
        return self._parenthesised() if self._accept("(") else None

    def _parenthesised(self) -> Value:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise TemplateError("too deeply nested")
        value = self._pipeline()
        self._depth -= 1
        self._expect(")")
        return value

    def _variable(self, name: str) -> Value:
        self._known(name)
        if name != "$":
            return lambda scope: scope.variable(name)
        if self._peek().kind == "field" and self._peek().is_joined:
            self._check_field(self._peek().text[1:], is_root=True)
        return lambda scope: scope.root

    def _known(self, name: str) -> None:
        if name not in self._names:
            raise TemplateError(f"undefined variable {name}")

    def _check_field(self, name: str, *, is_root: bool) -> None:
        if is_root and self._fields and name not in self._fields:
            near = get_close_matches(name, list(self._fields), n=1)
            remedy = f" (did you mean .{near[0]}?)" if near else ""
            raise TemplateError(f"there is no .{name}{remedy}")


def _literal(token: _Token) -> Any:
    text = token.text
    if text[0] == "`":
        return text[1:-1]
    if token.kind == "number":
        return float(text) if "." in text else int(text, 0 if "x" in text.lower() else 10)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise TemplateError(f"bad string {text}") from None
    return ord(value) if token.kind == "char" else value


def _calling(word: str, arguments: list[Value]) -> Value:
    if word in _REFUSED:
        raise TemplateError(f"{word} is not supported here")
    if word in {"and", "or"} and not arguments:
        raise TemplateError(f"{word} takes at least one value")
    if word in {"and", "or"}:
        return gosteps.deciding(word, arguments)
    function = FUNCTIONS.get(word)
    if function is None:
        near = get_close_matches(word, [*FUNCTIONS, "and", "or", "if", "range", "with"], n=1)
        remedy = f" (did you mean {near[0]}?)" if near else ""
        raise TemplateError(f'function "{word}" not defined{remedy}')
    return lambda scope: function(*(argument(scope) for argument in arguments))
