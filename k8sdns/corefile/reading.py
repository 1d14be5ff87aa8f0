"""Stanzas to settings: every rule of a directive's syntax that its fields state.

Owns: matching words to fields, and the errors about what does not match. Refuses to know particular
directives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from k8sdns.corefile.directive import Directive
from k8sdns.corefile.kinds import Context
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.parser import Line, Stanza
from k8sdns.corefile.settings import Mistake, Option, Positional, spec
from k8sdns.corefile.values import convert, converted, wrong_count
from k8sdns.names import BadName

S = TypeVar("S")


def read_directive(directive: Directive, stanzas: Sequence[Stanza], context: Context) -> Any:
    """Return what `directive.install` is given for the stanzas of one block, at least one.

    One Settings if the directive may stand once in a block, else a tuple of them in file order.
    Raises `CorefileError`.
    """
    if not directive.once:
        return tuple(read(directive.settings, stanza, context) for stanza in stanzas)
    if len(stanzas) > 1:
        first, second = stanzas[:2]
        raise context.error(
            "this plugin can only be used once per Server Block "
            f"(the first is at {first.file}:{first.line})",
            second,
        )
    return read(directive.settings, stanzas[0], context)


def read(settings: type[S], stanza: Stanza, context: Context) -> S:
    """Return the settings that one stanza gives; raises `CorefileError`."""
    _check_braces(stanza, context)
    from_stanza = getattr(settings, "from_stanza", None)
    if from_stanza is None:
        return read_fields(settings, stanza, context)
    try:
        found: S = from_stanza(stanza, context)
    except (ValueError, BadName) as error:
        raise context.error(str(error), stanza) from error
    return found


def read_fields(settings: type[S], stanza: Stanza, context: Context) -> S:
    """Return the settings that a stanza gives by the syntax of the fields alone."""
    values = _read_arguments(settings, stanza, context)
    places = _read_body(settings, stanza, context, values)
    _check_required(settings, stanza, context, values)
    found = settings(**values)
    check = getattr(found, "check", None)
    if check is not None:
        try:
            check(context)
        except Mistake as mistake:
            place = places.get(mistake.field or "", stanza)
            raise context.error(str(mistake), place) from mistake
        except (ValueError, BadName) as error:
            raise context.error(str(error), stanza) from error
    return found


def option_word(field: dataclasses.Field[Any], option: Option) -> str:
    """Return the word of an option's lines: its own, or the field's name; empty for any word."""
    return field.name.rstrip("_") if option.word is None else option.word


def _check_braces(stanza: Stanza, context: Context) -> None:
    brace = stanza.brace
    if brace is not None and brace.first:
        raise context.error(
            f"the opening brace of '{stanza.word}' must stand on the line of the directive", brace
        )
    if stanza.rest:
        raise context.error(
            f"Wrong argument count or unexpected line ending after '}}': "
            f"'{stanza.rest[0].text}' belongs in front of the braces, or on a line of its own",
            stanza.rest[0],
        )


def _fields(settings: type[Any]) -> list[tuple[dataclasses.Field[Any], Positional | Option]]:
    found = [(field, spec(field)) for field in dataclasses.fields(settings)]
    return [(field, syntax) for field, syntax in found if syntax is not None]


def _read_arguments(settings: type[Any], stanza: Stanza, context: Context) -> dict[str, Any]:
    values: dict[str, Any] = {}
    line = (Token(stanza.word, stanza.file, stanza.line, first=True), *stanza.args)
    at = 1
    for field, syntax in _fields(settings):
        if not isinstance(syntax, Positional):
            continue
        words = _words_for(syntax, line[at:])
        if len(words) < syntax.least:
            raise wrong_count(line, context, len(line) - 1, _usage(settings, stanza))
        at += len(words)
        if words and syntax.single:
            values[field.name] = convert(syntax.kind, words[0], context, syntax.complaint)
        elif words:
            values[field.name] = converted(syntax.kind, words, context)
        elif syntax.fallback is not None:
            values[field.name] = syntax.fallback(context)
    if at < len(line):
        raise wrong_count(line, context, at, _usage(settings, stanza))
    return values


def _usage(settings: type[Any], stanza: Stanza) -> str:
    forms = [found.form for _, found in _fields(settings) if isinstance(found, Positional)]
    return " ".join([stanza.word, *forms])


def _words_for(syntax: Positional, words: Line) -> Line:
    if words and syntax.when is not None and not syntax.when(words[0].text):
        return ()
    return words[: syntax.most] if syntax.most is not None else words


def _read_body(
    settings: type[Any], stanza: Stanza, context: Context, values: dict[str, Any]
) -> dict[str, Token]:
    """Read the lines between the braces into `values`; return where each field was last given."""
    known = {
        option_word(field, syntax): (field.name, syntax)
        for field, syntax in _fields(settings)
        if isinstance(syntax, Option)
    }
    places: dict[str, Token] = {}
    for line in stanza.body or ():
        word = line[0].text
        name, option = known.get(word) or known.get("") or (word, None)
        if option is None:
            _read_unknown(settings, line, context, known)
            continue
        value = _option_value(option, line, context)
        if name in places:
            if option.gathers:
                value = values[name] + value
            else:
                context.warn(f"'{word}' is given more than once; the last one counts", line[0])
        values[name] = value
        places[name] = line[0]
    return places


def _option_value(option: Option, line: Line, context: Context) -> Any:
    brace = next((token for token in line[1:] if token.text in {"{", "}"}), None)
    if brace is not None:
        raise context.error(f"Unexpected token '{brace.text}', expecting argument", brace)
    try:
        return option.read(line, context)
    except (ValueError, BadName) as error:
        raise context.error(str(error), line[0]) from error


def _read_unknown(
    settings: type[Any], line: Line, context: Context, known: Mapping[str, object]
) -> None:
    """Warn about a word that is taken without effect; raise for one that is refused or unknown."""
    word = line[0].text
    accepted: Mapping[str, str] = getattr(settings, "ACCEPTED", {})
    refused: Mapping[str, str] = getattr(settings, "REFUSED", {})
    if word in accepted:
        context.warn(f"'{word}' {accepted[word]}", line[0])
        return
    if word in refused:
        raise context.error(f"'{word}' {refused[word]}", line[0])
    near = get_close_matches(word, sorted({*known, *accepted} - {""}), n=1)
    remedy = f" (did you mean '{near[0]}'?)" if near else ""
    raise context.error(f"unknown property '{word}'{remedy}", line[0])


def _check_required(
    settings: type[Any], stanza: Stanza, context: Context, values: Mapping[str, Any]
) -> None:
    for field, syntax in _fields(settings):
        if (
            isinstance(syntax, Option)
            and field.default is dataclasses.MISSING
            and field.name not in values
        ):
            raise context.error(f"'{option_word(field, syntax)}' is required", stanza)
