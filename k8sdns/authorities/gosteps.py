"""Compiled templates: what each piece of a template does when it runs.

Owns: the state of a running template, and the closures that `gotemplate` makes of the syntax: a
`Value` returns a value, a `Step` writes or branches. Refuses to know the syntax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from k8sdns.authorities.gofunctions import ExecutionError, Struct, is_true, shown

MAX_OUTPUT: Final = 65_536  # characters


class Scope:
    """What a running template sees: dot, the root, variables; and what it has written."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.dot = root
        self.variables: list[tuple[str, Any]] = []
        self.written: list[str] = []
        self.size = 0

    def write(self, text: str) -> None:
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise ExecutionError(f"the text is longer than {MAX_OUTPUT} characters")
        self.written.append(text)

    def variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self.variables) if known == name)

    def assign(self, name: str, value: Any) -> None:
        at = max(n for n, (known, _) in enumerate(self.variables) if known == name)
        self.variables[at] = (name, value)


Value = Callable[[Scope], Any]
Step = Callable[[Scope], None]


def run(steps: list[Step], scope: Scope) -> None:
    """Execute `steps` in order."""
    for step in steps:
        step(scope)


def dot(scope: Scope) -> Any:
    return scope.dot


def constant(value: Any) -> Value:
    return lambda _scope: value


def writing(text: str) -> Step:
    return lambda scope: scope.write(text)


def field(value: Value, name: str) -> Value:
    def get(scope: Scope) -> Any:
        holder = value(scope)
        if isinstance(holder, Struct) and name not in holder:
            raise ExecutionError(f"there is no field {name}")
        if not isinstance(holder, dict):
            raise ExecutionError(f"{shown(holder)} has no field {name}")
        return holder.get(name)

    return get


def invoked(value: Value) -> Value:
    """A value alone; a method is called without arguments."""

    def get(scope: Scope) -> Any:
        found = value(scope)
        return found() if callable(found) else found

    return get


def invoking(value: Value, arguments: list[Value]) -> Value:
    """A method with arguments."""

    def get(scope: Scope) -> Any:
        method = value(scope)
        if not callable(method):
            raise ExecutionError(f"cannot give arguments to {shown(method)}")
        return method(*(argument(scope) for argument in arguments))

    return get


def deciding(word: str, arguments: list[Value]) -> Value:
    """Go's `and` and `or`: the first argument that decides, or the last one."""

    def get(scope: Scope) -> Any:
        value = None
        for argument in arguments:
            value = argument(scope)
            if is_true(value) is (word == "or"):
                break
        return value

    return get


def choosing(names: tuple[str, ...], value: Value, steps: list[Step], others: list[Step]) -> Step:
    """``{{if}}``."""

    def step(scope: Scope) -> None:
        known = len(scope.variables)
        found = value(scope)
        scope.variables += [(name, found) for name in names]
        run(steps if is_true(found) else others, scope)
        del scope.variables[known:]

    return step


def binding(names: tuple[str, ...], value: Value, steps: list[Step], others: list[Step]) -> Step:
    """``{{with}}``: an `if` that sets dot."""

    def step(scope: Scope) -> None:
        known, dot = len(scope.variables), scope.dot
        found = value(scope)
        scope.variables += [(name, found) for name in names]
        if is_true(found):
            scope.dot = found
        run(steps if is_true(found) else others, scope)
        scope.dot = dot
        del scope.variables[known:]

    return step


def ranging(names: tuple[str, ...], value: Value, steps: list[Step], others: list[Step]) -> Step:
    """``{{range}}`` over a list or a map, whose keys come in order."""

    def step(scope: Scope) -> None:
        known, dot = len(scope.variables), scope.dot
        pairs = _pairs(value(scope))
        for pair in pairs:
            scope.variables += zip(names, pair[-len(names) :] if names else (), strict=True)
            scope.dot = pair[1]
            run(steps, scope)
            del scope.variables[known:]
        scope.dot = dot
        if not pairs:
            run(others, scope)

    return step


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if value is None:
        return []
    if isinstance(value, dict) and not isinstance(value, Struct):
        return sorted(value.items())
    if isinstance(value, tuple):
        return list(enumerate(value))
    raise ExecutionError(f"range cannot go through {shown(value)}")
