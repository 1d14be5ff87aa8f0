"""Settings of directives: a frozen dataclass whose fields are the directive's syntax.

Owns: the vocabulary in which a directive describes its syntax, and the directive itself. Refuses to
know particular directives and the server; reading is in `reading`, documentation in `syntax`.

    @dataclass(frozen=True)
    class Settings:
        zones: tuple[bytes, ...] = block_zones(help="The zones that are cached.")
        ttl: int = option(kinds.integer(0, 3600), default=5, help="TTL of the answers in seconds.")
        verbose: bool = flag(help="Say more.")

A field without a default must be given. Field names are option names (``class_`` for ``class``).
A Settings class may further define:

- ``check(self, context)``: judge the whole; raise `ValueError`, or `Mistake` to name the field;
- ``from_stanza(cls, stanza, context)``, a class method: read an odd grammar alone;
- ``ACCEPTED``, ``REFUSED``: option words with a sentence: taken with a warning, or refused with it;
- ``USAGE``: the lines of syntax to show in documentation instead of those made from the fields.
"""

# `help` names the sentence about a field, as in argparse and click.
# ruff: noqa: A002

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from k8sdns import names
from k8sdns.corefile import kinds
from k8sdns.corefile.directive import Directive
from k8sdns.corefile.kinds import Context, Kind
from k8sdns.corefile.parser import Line, Stanza
from k8sdns.corefile.values import convert, converted, counted, wrong_count

_METADATA = "k8sdns.corefile"


class Mistake(ValueError):
    """A value that is wrong in the light of others; the error names the line of option `field`."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Positional:
    """A field that is read from the words behind the directive.

    `single` takes one word, else up to `most`. `when` tells whether a word is meant for this field
    at all; `fallback` makes the value if there is no word.
    """

    kind: Kind[Any]
    single: bool
    least: int
    most: int | None
    help: str
    shown: str
    when: Callable[[str], bool] | None = None
    fallback: Callable[[Context], Any] | None = None
    complaint: str | None = None

    @property
    def form(self) -> str:
        """What stands behind the directive: ``NAME``, ``[NAME]``, ``NAME…`` or ``[NAME…]``."""
        form = self.kind.name if self.single else f"{self.kind.name}…"
        return form if self.least else f"[{form}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A field that is read from lines between the braces.

    `word` is the first word of its lines, None for lines of any other word. `read` makes a value of
    a whole line, the option's word included. With `gathers` a value is a tuple, and lines add up.
    """

    word: str | None
    form: str
    read: Callable[[Line, Context], Any]
    gathers: bool
    help: str
    shown: str
    says: str = ""


def spec(field: dataclasses.Field[Any]) -> Positional | Option | None:
    """Return the syntax of a field; None for a field that is none of the Corefile's."""
    found: Positional | Option | None = field.metadata.get(_METADATA)
    return found


def argument(
    kind: Kind[Any],
    *,
    default: Any = dataclasses.MISSING,
    help: str,
    when: Callable[[str], bool] | None = None,
    shown: str | None = None,
    complaint: str | None = None,
) -> Any:
    """One word behind the directive; required without a default.

    `when` makes it optional by the look of the word: what it refuses is left to the next field.
    `complaint` replaces the message about a bad word (``{}`` stands for the word).
    """
    return _field(
        Positional(
            kind=kind,
            single=True,
            least=int(default is dataclasses.MISSING),
            most=1,
            help=help,
            shown=_shown(kind, default, shown),
            when=when,
            complaint=complaint,
        ),
        default,
    )


def arguments(
    kind: Kind[Any],
    *,
    least: int = 0,
    most: int | None = None,
    default: tuple[Any, ...] = (),
    help: str,
    fallback: Callable[[Context], Any] | None = None,
    shown: str | None = None,
) -> Any:
    """All further words behind the directive, as a tuple; `fallback` makes it if there is none."""
    needed = dataclasses.MISSING if least else default
    return _field(
        Positional(
            kind=kind,
            single=False,
            least=least,
            most=most,
            help=help,
            shown=_shown(kind, needed, shown),
            fallback=fallback,
        ),
        needed,
    )


def block_zones(*, help: str) -> Any:
    """``[ZONES…]`` behind the directive: a tuple of zones, those of the block if none is given."""
    return arguments(
        kinds.zones(),
        help=help,
        fallback=lambda context: context.zones,
        shown="the zones of the block",
    )


def option(
    *kinds_: Kind[Any],
    default: Any = dataclasses.MISSING,
    help: str,
    least: int | None = None,
    word: str | None = None,
    shown: str | None = None,
    complaint: str | None = None,
) -> Any:
    """``word VALUE`` between the braces; with several kinds ``word A B C``, as a tuple.

    `least` is how many of several values must be there (all of them without it): the tuple is as
    long as what was given. The last line counts. Without a default the option must be given.
    """
    needed = len(kinds_) if least is None else least
    form = _form(kinds_, needed)

    def read(line: Line, context: Context) -> Any:
        words = counted(line, context, needed, len(kinds_), form)
        values = tuple(
            convert(kind, token, context, complaint)
            for kind, token in zip(kinds_, words, strict=False)
        )
        return values[0] if len(kinds_) == 1 else values

    return _field(
        Option(
            word=word,
            form=form,
            read=read,
            gathers=False,
            help=help,
            shown=_shown(kinds_[0], default, shown),
            says="; ".join(kind.says for kind in kinds_),
        ),
        default,
    )


def options(
    kind: Kind[Any],
    *,
    least: int = 1,
    most: int | None = None,
    default: tuple[Any, ...] = (),
    help: str,
    word: str | None = None,
    shown: str | None = None,
) -> Any:
    """``word VALUES…`` between the braces, as a tuple; several lines add up."""
    form = f"{kind.name}…" if least else f"[{kind.name}…]"

    def read(line: Line, context: Context) -> tuple[Any, ...]:
        return converted(kind, counted(line, context, least, most, form), context)

    return _field(
        Option(
            word=word,
            form=form,
            read=read,
            gathers=True,
            help=help,
            shown=_shown(kind, default, shown),
            says=kind.says,
        ),
        default,
    )


def flag(*, help: str, word: str | None = None) -> Any:
    """``word`` alone between the braces: True; False without it."""

    def read(line: Line, context: Context) -> bool:
        counted(line, context, 0, 0)
        return True

    return _field(
        Option(word=word, form="", read=read, gathers=False, help=help, shown="off"), False
    )


def fallthrough(
    *, help: str = "Names that do not exist go on to the next directive: all, or those of ZONES."
) -> Any:
    """``fallthrough [ZONES…]``: a tuple of zones, empty when off, the root if none is given."""

    def read(line: Line, context: Context) -> tuple[bytes, ...]:
        return converted(kinds.zones(), line[1:], context) if line[1:] else (names.ROOT,)

    return _field(
        Option(
            word=None,
            form="[ZONES…]",
            read=read,
            gathers=False,
            help=help,
            shown="off",
            says=kinds.zones().says,
        ),
        (),
    )


def parsed(
    read: Callable[[Line, Context], Any],
    *,
    form: str,
    help: str,
    default: Any = (),
    gathers: bool = True,
    word: str | None = None,
    shown: str = "",
) -> Any:
    """``word …`` between the braces with a grammar of its own.

    `read` is given the line with its word, and raises `ValueError` (the line is added) or what
    `Context.error` makes. With `gathers` the field is a tuple of one value a line.
    """

    def one(line: Line, context: Context) -> Any:
        value = read(line, context)
        return (value,) if gathers else value

    return _field(
        Option(word=word, form=form, read=one, gathers=gathers, help=help, shown=shown), default
    )


def lines(read: Callable[[Line, Context], Any], *, form: str, help: str) -> Any:
    """Lines between the braces whose word is no option: a tuple of what `read` makes of each."""
    return _field(
        Option(
            word="",
            form=form,
            read=lambda line, context: (read(line, context),),
            gathers=True,
            help=help,
            shown="",
        ),
        (),
    )


def _field(found: Positional | Option, default: Any) -> Any:
    metadata = {_METADATA: found}
    return dataclasses.field(default=default, kw_only=True, metadata=metadata)


def _form(kinds_: Sequence[Kind[Any]], needed: int) -> str:
    parts = [kind.name for kind in kinds_[:needed]]
    optional = [kind.name for kind in kinds_[needed:]]
    tail = "".join(f" [{name}" for name in optional) + "]" * len(optional)
    return (" ".join(parts) + tail).strip()


def _shown(kind: Kind[Any], default: Any, shown: str | None) -> str:
    if shown is not None:
        return shown
    if default is dataclasses.MISSING:
        return "required"
    if default is None or default == ():
        return ""
    if isinstance(default, tuple) and not kind.many:
        return " ".join(kind.show(part) for part in default)
    return kind.show(default)


__all__ = [
    "Context",
    "Directive",
    "Kind",
    "Line",
    "Mistake",
    "Option",
    "Positional",
    "Stanza",
    "argument",
    "arguments",
    "block_zones",
    "convert",
    "converted",
    "counted",
    "fallthrough",
    "flag",
    "kinds",
    "lines",
    "option",
    "options",
    "parsed",
    "spec",
    "wrong_count",
]
