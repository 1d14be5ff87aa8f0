"""The syntax of a directive for its documentation, from the same fields that read it.

Owns: usage lines and tables of options. Refuses to know Markdown and files.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from k8sdns.corefile.reading import option_word
from k8sdns.corefile.settings import Positional, spec


@dataclass(frozen=True, slots=True)
class Row:
    """An argument or option: its name, the words behind it, its default, and what it does.

    `says` tells what the words must be; `default` is empty if there is nothing to say.
    """

    name: str
    form: str
    default: str
    help: str
    says: str


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a directive is written: `usage` as lines of a Corefile, and what each part means."""

    usage: str
    arguments: tuple[Row, ...]
    options: tuple[Row, ...]


def syntax(word: str, settings: type[Any]) -> Syntax:
    """Return the syntax of the directive `word` from its settings."""
    arguments: list[Row] = []
    options: list[Row] = []
    forms: list[str] = []
    for field in dataclasses.fields(settings):
        found = spec(field)
        if isinstance(found, Positional):
            arguments.append(
                Row(found.kind.name, "", found.shown, found.help, found.kind.says),
            )
            forms.append(found.form)
        elif found is not None:
            name = option_word(field, found)
            options.append(Row(name, found.form, found.shown, found.help, found.says))
    usage = getattr(settings, "USAGE", None) or _usage(word, forms, options)
    return Syntax(str(usage).strip(), tuple(arguments), tuple(options))


def _usage(word: str, forms: list[str], options: list[Row]) -> str:
    head = " ".join([word, *forms])
    if not options:
        return head
    body = "".join(f"    {f'{row.name} {row.form}'.strip()}\n" for row in options)
    return f"{head} {{\n{body}}}"
