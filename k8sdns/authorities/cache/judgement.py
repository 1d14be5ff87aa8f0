"""Whether an answer may be kept, as what, and for how long.

Owns CoreDNS's classes (plugin/pkg/response, plugin/cache) on RFC 2308's ground. A cache must not
keep what is not an answer to the question: the caller vouches for question and name.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import Enum
from typing import Final, TypeAlias

from k8sdns import records
from k8sdns.answers import TC, Answer, Question, Rendered
from k8sdns.authorities.cache.settings import CacheSettings

BASE_SECONDS = 5  # of answers that bring no TTL of their own
_OWNER_IS_QNAME = b"\xc0\x0c"
_SIMPLE = TC | 0xF  # flags that are all clear in the usual answer
_LARGEST_TTL = 0x7FFFFFFF
_RRSIG = records.RRSIG.to_bytes(2, "big")
_TO_PERIOD = 14  # octets from a TTL to the times in the rdata of RRSIG
_PERIOD = struct.Struct("!II")


class Keep(Enum):
    """The classes of entries; `NOT` and `STRAY` are none."""

    NOT = ""
    STRAY = "stray"  # not kept either: it does not answer the question
    SUCCESS = "success"
    DENIAL = "denial"
    FAILURE = "failure"  # kept with the denials


# Looked up here once: an Enum's attribute costs as much as a whole comparison and more.
NOT: Final = Keep.NOT
STRAY: Final = Keep.STRAY
SUCCESS: Final = Keep.SUCCESS
DENIAL: Final = Keep.DENIAL
FAILURE: Final = Keep.FAILURE

Judgement: TypeAlias = tuple[Keep, float]
"""How an answer is kept: its class, and the TTL in seconds that its records get."""


def judge(
    question: Question,
    answer: Answer,
    rendered: Rendered,
    places: Sequence[int],
    least_ttl: int,
    settings: CacheSettings,
) -> Judgement:
    """Return the Judgement of `answer` to `question`.

    `places` are the TTLs' in `rendered`, `least_ttl` is the shortest of them in seconds.
    """
    keep, is_short = _class_of(question, answer, rendered, places)
    if keep is FAILURE:
        return keep if settings.servfail > 0 else NOT, settings.servfail
    shelf = settings.denial if keep is DENIAL else settings.success
    ttl = BASE_SECONDS if is_short else least_ttl
    ttl = max(ttl, shelf.min_ttl)
    ttl = min(ttl, shelf.max_ttl)
    return keep if ttl > 0 else NOT, ttl


def _class_of(
    question: Question, answer: Answer, rendered: Rendered, places: Sequence[int]
) -> tuple[Keep, bool]:
    """Return the class, and whether the TTL is the short one whatever the records say."""
    answers, authorities, additionals = rendered.sections
    if answers and answer.flags & _SIMPLE == 0 and _is_direct(question, rendered, places):
        return SUCCESS, False
    if answer.flags & TC or question.qtype in (records.AXFR, records.IXFR):
        return NOT, False
    if answer.rcode in (records.SERVFAIL, records.NOTIMP):
        return FAILURE, False
    if answer.rcode not in (records.NOERROR, records.NXDOMAIN):
        return NOT, True
    in_authority = _types(rendered.body, places[answers : answers + authorities])
    has_soa = records.SOA in in_authority
    if answer.rcode == records.NXDOMAIN:
        return (DENIAL if has_soa and not answers else NOT), False
    if answers:
        if _answers(question, answer, rendered, places):
            return SUCCESS, False
        return (DENIAL if has_soa else STRAY), False
    if has_soa:
        return DENIAL, False
    return SUCCESS, records.NS in in_authority or not additionals


def has_dead_signature(body: bytes, places: Sequence[int], wall_time: float) -> bool:
    """Tell whether a signature is not valid at `wall_time`, seconds since 1970 (RFC 4034 §3.1.5).

    What is signed so must not be kept: a validator behind us could not use it.
    """
    for place in places:
        if body[place - 4 : place - 2] != _RRSIG:
            continue
        expires, begins = _PERIOD.unpack_from(body, place + _TO_PERIOD)
        now = int(wall_time) & 0xFFFFFFFF
        # Serial number arithmetic: the times wrap around (RFC 1982).
        if (expires - now) & 0xFFFFFFFF > _LARGEST_TTL or (
            now - begins
        ) & 0xFFFFFFFF > _LARGEST_TTL:
            return True
    return False


def _types(body: bytes, places: Sequence[int]) -> list[int]:
    return [body[place - 4] << 8 | body[place - 3] for place in places]


def least_ttl_of(body: bytes, places: Sequence[int]) -> int:
    """Return the shortest of the TTLs at `places`; without any the longest that there can be."""
    least = _LARGEST_TTL
    for place in places:
        ttl = int.from_bytes(body[place : place + 4], "big")
        if ttl > _LARGEST_TTL:
            ttl = 0  # RFC 2181 §8
        least = min(least, ttl)
    return least


def _is_direct(question: Question, rendered: Rendered, places: Sequence[int]) -> bool:
    """Tell by its octets that the first record is of the name and type that were asked."""
    head = rendered.body[:4]
    return places[0] == 6 and head == _OWNER_IS_QNAME + question.qtype.to_bytes(2, "big")


def _answers(question: Question, answer: Answer, rendered: Rendered, places: Sequence[int]) -> bool:
    """Tell whether the answer section ends in what was asked, through whatever aliases."""
    qtype = question.qtype
    if qtype == records.ANY or _is_direct(question, rendered, places):
        return True
    found: dict[tuple[bytes, int], records.Record] = {}
    for record in answer.answer:
        found.setdefault((record.owner.lower(), record.rtype), record)
    name = question.qname
    for _ in range(len(found)):
        if (name, qtype) in found:
            return True
        alias = found.get((name, records.CNAME))
        if alias is None:
            return False
        name = records.target_of(alias)
    return False
