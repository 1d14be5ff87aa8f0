"""Label and field selectors: text to a predicate over objects.

Owns: the two grammars. Refuses to know: where objects come from.
Source: apimachinery `labels.Parse` and `fields.ParseSelector`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from k8sdns.testing.apiserver.resources import Object
from k8sdns.testing.apiserver.statuses import bad_request

Predicate = Callable[[Object], bool]

_COMMA = re.compile(r",(?![^(]*\))")  # not the ones inside in (…)
_KEY = r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")

FIELDS = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "services": ("spec.clusterIP", "spec.type"),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "events": ("involvedObject.kind", "involvedObject.name", "involvedObject.namespace", "reason"),
    "secrets": ("type",),
}
"""The fields that may be selected by, beside metadata.name and metadata.namespace."""


def everything(_: Object) -> bool:
    """The empty selector."""
    return True


def by_labels(text: str) -> Predicate:
    """The predicate of a label selector; 400 for one that cannot be read."""
    if not text.strip():
        return everything
    terms = [_requirement(term.strip()) for term in _COMMA.split(text)]

    def matches(thing: Object) -> bool:
        labels = thing["metadata"].get("labels") or {}
        return all(term(labels) for term in terms)

    return matches


def _requirement(term: str) -> Callable[[dict[str, str]], bool]:
    if match := _SET.fullmatch(term):
        key, values = match[1], {value.strip() for value in match[3].split(",")}
        if match[2] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALITY.fullmatch(term):
        key, value = match[1], match[3]
        if match[2] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _EXISTS.fullmatch(term):
        key, wanted = match[2], not match[1]
        return lambda labels: (key in labels) == wanted
    raise bad_request(f"unable to parse requirement: {term!r}")


def by_fields(text: str, plural: str) -> Predicate:
    """The predicate of a field selector on a resource; 400 for a field it does not have."""
    if not text.strip():
        return everything
    terms = [_field_term(term.strip(), plural) for term in text.split(",")]
    return lambda thing: all(term(thing) for term in terms)


def _field_term(term: str, plural: str) -> Predicate:
    match = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", term)
    if match is None:
        raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    path, operator, value = match[1].strip(), match[2], match[3].strip()
    if path not in ("metadata.name", "metadata.namespace", *FIELDS.get(plural, ())):
        raise bad_request(f'field label not supported: "{path}"')
    keys = path.split(".")
    return lambda thing: (_at(thing, keys) == value) != (operator == "!=")


def _at(thing: Any, keys: list[str]) -> str:
    for key in keys:
        thing = thing.get(key) if isinstance(thing, dict) else None
    if isinstance(thing, bool):
        return str(thing).lower()
    return "" if thing is None else str(thing)
