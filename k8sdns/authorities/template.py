"""Answers made from the question by templates (CoreDNS: template).

Owns: which template a question meets, the values it is given, and records from its texts. Refuses
to know the Corefile, and the language of templates (`gotemplate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred

from k8sdns import answers, names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.expressions import Expression
from k8sdns.authorities.gofunctions import ExecutionError, Struct
from k8sdns.authorities.gotemplate import GoTemplate
from k8sdns.authorities.rrtext import BadRecordText, record_from_text
from k8sdns.authorities.zoneauthority import falls_through
from k8sdns.corefile.goregex import GoMatch, GoRegex
from k8sdns.errors import ServerFailure
from k8sdns.interfaces import ILookup
from k8sdns.records import Record
from k8sdns.waiting import then

# What a template may ask for (CoreDNS's template documentation).
FIELDS: Final = frozenset(
    {"Zone", "Name", "Class", "Type", "Match", "Group", "Message", "Question", "Remote", "Meta"}
    | {"Var"}
)
MAX_RECORDS_KEPT: Final = 1024  # texts whose records are remembered
_RD: Final = 0x0100


class Template(NamedTuple):
    """One `template` of a server block; `rclass` and `rtype` are ANY for all."""

    rclass: int
    rtype: int
    zones: tuple[bytes, ...]
    patterns: tuple[GoRegex, ...] = ()  # none matches every name
    answer: tuple[GoTemplate, ...] = ()
    authority: tuple[GoTemplate, ...] = ()
    additional: tuple[GoTemplate, ...] = ()
    rcode: int = records.NOERROR
    ede: tuple[int, str] | None = None  # Extended DNS Error (RFC 8914): code and text
    fallthrough: tuple[bytes, ...] = ()
    conditions: tuple[Expression, ...] = ()
    variables: tuple[tuple[str, Expression], ...] = ()

    def zone_of(self, question: Question) -> bytes | None:
        """Return the longest of the zones for a question of the right class and type, else None."""
        if self.rclass not in {records.CLASS_ANY, question.qclass}:
            return None
        if self.rtype not in {records.ANY, question.qtype}:
            return None
        enclosing = [zone for zone in self.zones if names.is_subdomain(question.qname, zone)]
        return max(enclosing, key=len, default=None)

    def match(self, question: Question) -> GoMatch | None:
        """Return the match of the first pattern that finds something in the lower-case name.

        None also where one of the conditions is not true of the question.
        """
        name = question.name_text
        if not all(each.admits(question) for each in self.conditions):
            return None
        for pattern in self.patterns or (_EVERYTHING,):
            match = pattern.search(name)
            if match is not None:
                return match
        return None


_EVERYTHING: Final = GoRegex(".*")

Counted = Callable[[str, Question, bytes, Template, str, str], None]
"""Takes what happened ("matches", "template_failures", "rr_failures"), and its labels' values:
the question, the zone, the template, the section and the template's text."""


class TemplateAuthority(Authority):
    """Asks one template after another."""

    word = "template"

    def __init__(
        self,
        templates: Iterable[Template],
        lookup: ILookup | None = None,
        counted: Counted = lambda *_: None,
    ) -> None:
        """`lookup` follows CNAME records that a template made."""
        self._templates = tuple(templates)
        self._self_lookup = lookup
        self.counted = counted

    def answer(self, question: Question) -> Answer | Deferred[Any] | None:
        """Answer from the first template that matches; raises `ServerFailure` for a broken one.

        Where the zone fits and no pattern does, the question fails unless it falls through.
        """
        for template in self._templates:
            zone = template.zone_of(question)
            if zone is None:
                continue
            match = template.match(question)
            if match is not None:
                return self._filled(template, question, zone, match)
            if not falls_through(template.fallthrough, question.qname):
                return Answer(rcode=records.SERVFAIL, source=self.word)
        return None

    def _filled(
        self, template: Template, question: Question, zone: bytes, match: GoMatch
    ) -> Answer | Deferred[Any]:
        self.counted("matches", question, zone, template, "", "")
        if template.rcode == records.SERVFAIL:
            return Answer(rcode=records.SERVFAIL, source=self.word)
        variables = self._variables(template, question, zone)
        values = _values(question, zone, match, variables)

        def section(word: str, texts: tuple[GoTemplate, ...]) -> tuple[Record, ...]:
            return tuple(
                self._record(template, question, zone, values, word, text) for text in texts
            )

        answer = Answer(
            section("answer", template.answer),
            section("authority", template.authority),
            section("additional", template.additional),
            rcode=template.rcode,
            aa=True,
            source=self.word,
            options=(answers.extended_error(*template.ede),) if template.ede else (),
        )
        return self._chased(question, answer)

    def _variables(self, template: Template, question: Question, zone: bytes) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, expression in template.variables:
            try:
                values[name] = expression.value(question)
            except (ValueError, ArithmeticError) as error:
                self.counted("template_failures", question, zone, template, "var", expression.text)
                raise ServerFailure(f"var {name} {expression.text!r}: {error}") from None
        return values

    def _record(
        self,
        template: Template,
        question: Question,
        zone: bytes,
        values: Struct,
        section: str,
        text: GoTemplate,
    ) -> Record:
        try:
            filled = text.execute(values)
        except ExecutionError as error:
            self.counted("template_failures", question, zone, template, section, text.text)
            raise ServerFailure(f"template {text.text!r}: {error}") from None
        try:
            return _record_from(filled, question.qclass)
        except BadRecordText as error:
            self.counted("rr_failures", question, zone, template, section, text.text)
            raise ServerFailure(f"template made no record but {filled!r}: {error}") from None

    def _chased(self, question: Question, answer: Answer) -> Answer | Deferred[Any]:
        """Follow a templated alias for address questions (CoreDNS)."""
        if self._self_lookup is None or question.qtype not in {records.A, records.AAAA}:
            return answer
        target = next(
            (records.target_of(r) for r in answer.answer if r.rtype == records.CNAME), None
        )
        if target is None:
            return answer
        found = self._self_lookup.lookup(question, target, question.qtype)
        return then(found, lambda beyond: _joined(answer, beyond))


def _joined(answer: Answer, beyond: Answer) -> Answer:
    return answer.replace(answer=answer.answer + beyond.answer, tc=beyond.tc)


@lru_cache(MAX_RECORDS_KEPT)
def _record_from(text: str, rclass: int) -> Record:
    return record_from_text(text, rclass=rclass if rclass in records.CLASS_NAMES else records.IN)


def _values(question: Question, zone: bytes, match: GoMatch, variables: dict[str, Any]) -> Struct:
    """Return what a template is given, as CoreDNS names it."""
    matched = tuple(part or "" for part in (match[0], *match.groups()))
    group = {str(number): part for number, part in enumerate(matched)}
    group.update((name, part or "") for name, part in match.groupdict().items())
    asked = Struct(Name=question.name_text, Qtype=question.qtype, Qclass=question.qclass)
    labels = question.metadata or {}
    return Struct(
        Zone=names.to_text(zone),
        Name=question.name_text,
        Class=records.class_name(question.qclass),
        Type=records.type_name(question.qtype),
        Match=matched,
        Group=group,
        Question=asked,
        Message=Struct(
            Id=int.from_bytes(question.message[:2], "big"),
            Opcode=question.opcode,
            RecursionDesired=bool(question.flags & _RD),
            Question=(asked,),
        ),
        Remote=question.peer.host,
        Meta=_meta(labels),
        Var=variables,
    )


def _meta(labels: dict[str, str]) -> Callable[[Any], str]:
    return lambda label: labels.get(label, "")
