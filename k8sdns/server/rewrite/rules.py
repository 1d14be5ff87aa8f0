"""The rules themselves: whether one is for a question, and what it does to it and its answer.

Owns each kind of rule. Refuses to know the Corefile (`grammar`) and the order of rules (`stage`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.errors import ServerFailure
from k8sdns.server.rewrite import responses
from k8sdns.server.rewrite.edns0 import OptionChange
from k8sdns.server.rewrite.patterns import Change, Pattern, text_of
from k8sdns.server.rewrite.responses import Response

Applied: TypeAlias = "tuple[Question, tuple[Response, ...]] | None"
"""The question to go on with, and what is to be done to its answer; None: not for this one."""

Apply: TypeAlias = Callable[[Question], Applied]


@dataclass(frozen=True)
class Rule:
    """One rule; `stops` says whether the rules behind it are left out where it applies."""

    apply: Apply
    stops: bool


def type_rule(old: int, new: int) -> Apply:
    """Ask for another type."""

    def apply(question: Question) -> Applied:
        return (question.changed(qtype=new), ()) if question.qtype == old else None

    return apply


def class_rule(old: int, new: int) -> Apply:
    """Ask in another class."""

    def apply(question: Question) -> Applied:
        return (question.changed(qclass=new), ()) if question.qclass == old else None

    return apply


def name_rule(pattern: Pattern, to: str, *, auto: bool, answers: tuple[Response, ...]) -> Apply:
    """Ask for another name; with `auto` the answer gets the old one back."""
    change = pattern.change_to(to)
    fixed = _put_back_suffix(pattern.text, to) if auto and pattern.kind == "suffix" else ()

    def apply(question: Question) -> Applied:
        old = text_of(question.qname)
        new = change(old)
        if new is None:
            return None
        if auto and not fixed:
            return _renamed(question, new), (*_put_back(new, old), *answers)
        return _renamed(question, new), (*fixed, *answers)

    return apply


def _renamed(question: Question, new: str) -> Question:
    try:
        return question.changed(qname=names.from_text(new))
    except names.BadName:
        raise ServerFailure(f"invalid name after rewrite: {new}") from None


def _put_back(new: str, old: str) -> tuple[Response, ...]:
    """Turn `new` and what is below it into `old` again."""

    def change(name: str) -> str | None:
        if name == new:
            return old
        return name.removesuffix(new) + old if name.endswith("." + new) else None

    return _everywhere(change)


def _put_back_suffix(old: str, new: str) -> tuple[Response, ...]:
    return _everywhere(Pattern("suffix", new).change_to(old))


def _everywhere(change: Change) -> tuple[Response, ...]:
    return responses.owners(change), responses.values(change)


def response_rule(pattern: Pattern, response: Response) -> Apply:
    """Change the answers to the names of a pattern (``ttl``, ``rcode``)."""

    def apply(question: Question) -> Applied:
        matches = pattern.matches(text_of(question.qname))
        return (question, (response,)) if matches else None

    return apply


def alias_rule(pattern: Pattern, to: str) -> Apply:
    """Lead aliases elsewhere; any answer may hold one."""
    response = responses.alias_target(pattern.change_to(to))
    return lambda question: (question, (response,))


def option_rule(change: OptionChange, *, reverts: bool) -> Apply:
    """Change an EDNS option; with `reverts` the answer loses it on the way out."""
    back = (responses.without_option(change.code),) if reverts else ()

    def apply(question: Question) -> Applied:
        changed = change.applied(question)
        return None if changed is None else (changed, back)

    return apply
