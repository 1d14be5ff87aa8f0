"""What is done to answers on their way out: names put back, TTLs, RCODEs, aliases, options.

Owns the changes of an Answer. Refuses to know which questions they are for. An Answer is never
changed itself: it may belong to many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.errors import WireError
from k8sdns.records import Record
from k8sdns.server.rewrite.patterns import text_of
from k8sdns.waiting import then
from k8sdns.wire.names import unpack

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from k8sdns.interfaces import ILookup
    from k8sdns.server.rewrite.patterns import Change

Answered: TypeAlias = "Answer | Deferred[Answer]"
Response: TypeAlias = "Callable[[Answer, Question, ILookup], Answered]"
"""Takes the answer, the question as it was passed on, and who resolves further names."""

# The types whose rdata names something that a client goes on to ask for; of SOA the MNAME.
_VALUES = frozenset(
    {
        records.SRV, records.MX, records.CNAME, records.NS, records.DNAME, records.NAPTR,
        records.SOA, records.PTR,
    }
)  # fmt: skip


def each_record(change: Callable[[Record], Record]) -> Response:
    """Return what applies `change` to every record of an answer."""

    def respond(answer: Answer, _question: Question, _lookup: ILookup) -> Answer:
        return answer.replace(
            answer=tuple(map(change, answer.answer)),
            authority=tuple(map(change, answer.authority)),
            additional=tuple(map(change, answer.additional)),
        )

    return respond


def owners(change: Change) -> Response:
    """Return what changes the names that records belong to."""

    def changed(record: Record) -> Record:
        return record._replace(owner=_changed_name(record.owner, change))

    return each_record(changed)


def values(change: Change) -> Response:
    """Return what changes the names that records lead to."""

    def changed(record: Record) -> Record:
        if record.rtype not in _VALUES:
            return record
        at = _name_at(record)
        if at < 0:
            return record
        end = records.end_of_name(record.rdata, at)
        target = _changed_name(record.rdata[at:end], change)
        return record._replace(rdata=record.rdata[:at] + target + record.rdata[end:])

    return each_record(changed)


def _name_at(record: Record) -> int:
    """Return where the first name of the rdata begins, -1 if it has none."""
    if record.rtype == records.NAPTR:
        return _naptr_replacement(record.rdata)
    return records.NAMES_IN_RDATA[record.rtype][0]


def _naptr_replacement(rdata: bytes) -> int:
    """Skip order, preference and three character strings (RFC 3403 §4.1).

    Upstreams' NAPTR records are opaque to everybody else: nobody has looked yet whether what is
    there is a name, uncompressed, and ends where the rdata does.
    """
    at = 4
    for _ in range(3):
        if at >= len(rdata):
            return -1
        at += 1 + rdata[at]
    try:
        _name, end = unpack(rdata[at:], 0)
    except WireError:
        return -1
    return at if at + end == len(rdata) else -1


def _changed_name(name: bytes, change: Change) -> bytes:
    """Return the name changed; what does not match, or would be no name, stays as it is."""
    changed = change(text_of(name))
    if changed is None:
        return name
    try:
        return names.from_text(changed)
    except names.BadName:
        return name


def ttls(least: int, most: int) -> Response:
    """Return what keeps every TTL between two numbers of seconds."""
    return each_record(lambda record: record._replace(ttl=min(max(record.ttl, least), most)))


def rcode(old: int, new: int) -> Response:
    """Return what puts one RCODE in the place of another."""

    def respond(answer: Answer, _question: Question, _lookup: ILookup) -> Answer:
        return answer.replace(rcode=new) if answer.rcode == old else answer

    return respond


def without_option(code: int) -> Response:
    """Return what takes an EDNS option off the answer."""

    def respond(answer: Answer, _question: Question, _lookup: ILookup) -> Answer:
        kept = tuple(option for option in answer.options if option[0] != code)
        return answer if kept == answer.options else answer.replace(options=kept)

    return respond


def alias_target(change: Change) -> Response:
    """Return what leads an alias elsewhere; what is there takes the place of what was behind it."""

    def respond(answer: Answer, question: Question, lookup: ILookup) -> Answered:
        for index, record in enumerate(answer.answer):
            if record.rtype != records.CNAME:
                continue
            target = _changed_name(record.rdata, change)
            if target != record.rdata:
                chain = (*answer.answer[:index], record._replace(rdata=target))
                return _followed(answer, chain, question, lookup)
        return answer

    return respond


def _followed(
    answer: Answer, chain: tuple[Record, ...], question: Question, lookup: ILookup
) -> Answered:
    """Return `chain` with the records at its end, asked for through the whole server."""
    if question.qtype == records.CNAME:
        return answer.replace(answer=chain)

    def joined(there: Answer) -> Answer:
        return answer.replace(
            answer=(*chain, *there.answer),
            authority=there.authority,
            rcode=there.rcode,
            tc=there.tc,
            error=there.error,
        )

    return then(lookup.lookup(question, chain[-1].rdata, question.qtype), joined)
