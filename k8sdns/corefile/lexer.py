"""Text to words: the lexical rules of the Corefile.

Owns: white space, comments, quotes, line numbers. Refuses to know braces, directives and variables:
``{`` and ``}`` are words like any other here.

The rules are CoreDNS's (coredns/caddy, caddyfile/lexer.go), its edges included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Unicode's White_Space without the carriage return, which is passed over even inside a word.
_SPACE = "\\t\\n\\v\\f \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

_WORD = re.compile(
    rf"""
      [{_SPACE}\r]+
    | \#[^\n]*
    | "(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)(?P<closing>"|\\?\Z)
    | (?P<bare>[^{_SPACE}\#]+)(?:\#[^{_SPACE}]*)?
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, where it begins, and whether it is the first of its line."""

    text: str
    file: str
    line: int
    first: bool


def tokens(text: str, file: str) -> list[Token]:
    r"""Return the words of `text`; never fails.

    Only a word that begins with ``"`` is quoted; inside, ``\"`` is a quote and every other
    backslash stays. A ``#`` between words comments out the rest of the line; inside a word it ends
    the word, and its comment ends at the next space, as in CoreDNS. Quotes that are never closed
    end with the file.
    """
    found: list[Token] = []
    line, last_line = 1, 0
    for match in _WORD.finditer(text.removeprefix("\ufeff")):
        word = _word(match)
        if word is not None:
            found.append(Token(word, file, line, line > last_line))
        line += match.group().count("\n")
        if word is not None:
            last_line = line
    return found


def _word(match: re.Match[str]) -> str | None:
    bare, quoted = match["bare"], match["quoted"]
    if bare is not None:
        return str(bare).replace("\r", "")
    if quoted is None or (not quoted and match["closing"] != '"'):
        return None
    return _ESCAPED.sub(_unescaped, quoted)


def _unescaped(match: re.Match[str]) -> str:
    return '"' if match[1] == '"' else match[0]
