"""Words to values, with errors that name the word's line.

Owns: counting and converting the words of a line. Refuses to know fields and directives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from k8sdns.corefile.kinds import Context, Kind
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.parser import Line
from k8sdns.errors import CorefileError


def counted(line: Line, context: Context, least: int, most: int | None, form: str = "") -> Line:
    """Return the words behind the first of `line`; the wrong number of them is an error.

    `form` is what should stand behind the word, for the error.
    """
    found = len(line) - 1
    if found < least or (most is not None and found > most):
        at = found if most is None else min(found, most + 1)
        raise wrong_count(line, context, at, f"{line[0].text} {form}")
    return line[1:]


def wrong_count(line: Line, context: Context, at: int, usage: str) -> CorefileError:
    """Return the error about too few or too many words, seen at word `at` of `line`."""
    return context.error(
        f"Wrong argument count or unexpected line ending after '{line[at].text}'; "
        f"write: {usage.strip()}",
        line[at],
    )


def convert(kind: Kind[Any], token: Token, context: Context, complaint: str | None = None) -> Any:
    """Return the value of one word; what the kind refuses is an error at the word's line."""
    if token.text == "{":
        raise context.error("Unexpected token '{', expecting argument", token)
    try:
        return kind.convert(token, context)
    except ValueError as error:
        message = complaint.replace("{}", token.text) if complaint else str(error)
        raise context.error(message, token) from error


def converted(kind: Kind[Any], words: Sequence[Token], context: Context) -> tuple[Any, ...]:
    """Return the values of `words`, those of a kind with many values in one tuple."""
    values = [convert(kind, token, context) for token in words]
    return tuple(part for value in values for part in value) if kind.many else tuple(values)
