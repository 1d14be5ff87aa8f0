"""``template``: answers made from the question (CoreDNS plugin/template)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.expressionfunctions import BOOL, NUMBER, TEXT
from k8sdns.authorities.expressions import Expression
from k8sdns.authorities.gotemplate import GoTemplate, TemplateError
from k8sdns.authorities.template import FIELDS, Counted, Template, TemplateAuthority
from k8sdns.corefile import kinds
from k8sdns.corefile.goregex import GoRegex
from k8sdns.corefile.kinds import Kind
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    Mistake,
    argument,
    block_zones,
    counted,
    fallthrough,
    option,
    options,
    parsed,
)
from k8sdns.interfaces import IAuthority, IRouting
from k8sdns.metrics import (
    TEMPLATE_FAILURES,
    TEMPLATE_MATCHES,
    TEMPLATE_RR_FAILURES,
    Metrics,
)
from k8sdns.server.draft import BlockDraft

_LARGEST_CODE = 0xFFFF
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _class(word: str) -> int:
    number = records.CLASSES.get(word)
    if number is None:
        raise ValueError(f"invalid query class {word}: write IN, CH, HS or ANY")
    return number


def _type(word: str) -> int:
    number = records.type_number(word) if word.isupper() else None
    if number is None:
        raise ValueError(f"invalid RR class {word}: write a type such as A or MX, or ANY")
    return number


def _rcode(word: str) -> int:
    number = records.RCODES.get(word.upper())
    if number is None:
        raise ValueError(f"unknown rcode {word}")
    return number


def _template(token: Token, _context: Context) -> GoTemplate:
    try:
        return GoTemplate(token.text, FIELDS)
    except TemplateError as error:
        raise ValueError(f"could not compile template: {error}") from None


def _ederror(line: Line, context: Context) -> tuple[int, str]:
    words = counted(line, context, 1, 2, "CODE [TEXT]")
    code = kinds.integer(0, _LARGEST_CODE).convert(words[0], context)
    return code, words[1].text if len(words) > 1 else ""


def _condition(line: Line, context: Context) -> Expression:
    words = counted(line, context, 1, None, "EXPRESSION")
    return Expression(" ".join(token.text for token in words))


def _variable(line: Line, context: Context) -> tuple[str, Expression]:
    name, *words = (token.text for token in counted(line, context, 2, None, "NAME EXPRESSION"))
    if _VARIABLE.fullmatch(name) is None:
        raise ValueError(f"'{name}' is no name of a variable: write letters, digits and _")
    return name, Expression(" ".join(words), (TEXT, NUMBER, BOOL))


_TEMPLATE = Kind("TEMPLATE", "a record as in a zone file, in Go's template language", _template)


@dataclass(frozen=True)
class Settings:
    """Answers with records that are made from the question."""

    rclass: int = argument(
        kinds.of_text("CLASS", "IN, CH, HS or ANY", _class), help="The class that is asked for."
    )
    rtype: int = argument(
        kinds.of_text("TYPE", "a type, or ANY for all", _type), help="The type that is asked for."
    )
    zones: tuple[bytes, ...] = block_zones(help="The zones of the names that are asked for.")
    match: tuple[GoRegex, ...] = options(
        kinds.regex(), help="Patterns for the name in lower case; the first that fits counts.",
        shown="every name",
    )  # fmt: skip
    answer: tuple[GoTemplate, ...] = options(_TEMPLATE, help="Records of the answer section.")
    authority: tuple[GoTemplate, ...] = options(_TEMPLATE, help="Records of the authority section.")
    additional: tuple[GoTemplate, ...] = options(
        _TEMPLATE, help="Records of the additional section."
    )
    rcode: int = option(
        kinds.of_text("RCODE", "the name of an RCODE", _rcode),
        default=records.NOERROR, shown="NOERROR", help="The RCODE of the reply.",
    )  # fmt: skip
    ederror: tuple[int, str] | None = parsed(
        _ederror, form="CODE [TEXT]", default=None, gathers=False,
        help="An Extended DNS Error for the reply (RFC 8914).",
    )  # fmt: skip
    var: tuple[tuple[str, Expression], ...] = parsed(
        _variable, form="NAME EXPRESSION", help="A value for templates, as .Var.NAME."
    )
    expr: tuple[Expression, ...] = parsed(
        _condition, form="EXPRESSION",
        help="Must be true of a query as a pattern must fit; several lines must all be.",
    )  # fmt: skip
    fallthrough: tuple[bytes, ...] = fallthrough(
        help="Names that no pattern or expression fits go on to the next template or directive."
    )

    ACCEPTED: ClassVar = {
        "upstream": "is not needed: aliases are always followed through this server itself",
    }

    def check(self, _context: Context) -> None:
        """No variable has two values."""
        names_given = [name for name, _expression in self.var]
        for name in names_given:
            if names_given.count(name) > 1:
                raise Mistake(f"var {name} is given twice", "var")

    @property
    def template(self) -> Template:
        """The same in the terms of the authority."""
        return Template(
            self.rclass, self.rtype, self.zones, self.match, self.answer, self.authority,
            self.additional, self.rcode, self.ederror, self.fallthrough, self.expr, self.var,
        )  # fmt: skip


def _counting(metrics: Metrics, view: str) -> Counted:
    counters = {
        "matches": metrics.counter(TEMPLATE_MATCHES),
        "template_failures": metrics.counter(TEMPLATE_FAILURES),
        "rr_failures": metrics.counter(TEMPLATE_RR_FAILURES),
    }

    def counted(
        what: str, question: Question, zone: bytes, template: Template, section: str, text: str
    ) -> None:
        labels = [
            getattr(question.server, "name", ""),
            names.to_text(zone),
            view,
            records.class_name(template.rclass),
            records.type_name(template.rtype),
        ]
        if what != "matches":
            labels += [section, text]
        counters[what].add(*labels)

    return counted


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one authority for all templates of the block."""
    if any(each.rclass not in {records.IN, records.CLASS_ANY} for each in stanzas):
        block.serves_any_class = True
    templates = [settings.template for settings in stanzas]
    block.add(TemplateAuthority(templates, block.lookup))


def connect(_stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Count under the name of the block's view, which is installed behind all others."""
    view = next((each.name for each in block.all(IRouting)), "")
    for authority in block.all(IAuthority):
        if isinstance(authority, TemplateAuthority):
            authority.counted = _counting(block.context.metrics, view)


DIRECTIVE = Directive(
    "template",
    Settings,
    install=install,
    connect=connect,
    once=False,
    summary="Answers from templates.",
)
