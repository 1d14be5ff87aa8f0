"""The base of every authority: an `IAuthority` that is also a Twisted Names resolver.

Owns: the translation between the two faces, values and failures, in both directions.
Refuses to know what any authority answers.

Twisted Names says with exceptions what we say with values, and two of its habits are traps. Its
`DNSServerError` and its kin are `DomainError`s, which a stock chain takes for "ask the next one"
and a stock factory for NXDOMAIN: so whatever is neither an answer nor a name error leaves here as
a `ResolverError`. And it has no word for "not mine" but the plain `DomainError`.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.names import dns
from twisted.names.common import ResolverBase
from twisted.names.error import DNSNameError, DomainError, ResolverError
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question, failed
from k8sdns.errors import QueryError
from k8sdns.interfaces import IAuthority
from k8sdns.records import Record

if TYPE_CHECKING:
    from twisted.python.failure import Failure

Sections: TypeAlias = tuple[list[dns.RRHeader], list[dns.RRHeader], list[dns.RRHeader]]

_RECORD_TYPES = dns.Message()


class RcodeError(ResolverError):
    """An Answer that is a failure, on its way through Twisted Names; `answer` is that Answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(records.rcode_name(answer.rcode))
        self.answer = answer


@implementer(IAuthority)
class Authority(ResolverBase):
    """Answers us with values (`answer`), Twisted Names with Deferreds of lists (`query`).

    Derive, set `word`, write `answer`. All of IResolver's lookup methods end in `query`.
    """

    word = ""

    def answer(self, question: Question) -> Answer | Deferred[Answer | None] | None:
        """See `k8sdns.interfaces.IAuthority.answer`."""
        raise NotImplementedError

    def query(self, query: dns.Query, timeout: Any = None) -> Deferred[Sections]:  # noqa: ARG002
        """Answer a Twisted Names query: (answers, authority, additional), lists of `dns.RRHeader`.

        Fails with `DNSNameError` for NXDOMAIN, with `RcodeError` (a `ResolverError`) for other
        RCODEs, and with plain `DomainError` where the name is not this authority's.
        """
        try:
            question = Question(wire_name(query.name.name), query.type, query.cls)
        except names.BadName as error:
            return fail(DomainError(str(error)))
        ask: Callable[[Question], Any] = self.answer
        waiting: Deferred[Any] = maybeDeferred(ask, question)
        waiting.addErrback(_as_answer)
        return waiting.addCallback(sections_of, query.name.name)

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> Deferred[Sections]:  # noqa: A002
        return self.query(dns.Query(name, type, cls), timeout)


def _as_answer(failure: Failure) -> Answer:
    failure.trap(QueryError)
    error: Any = failure.value
    return failed(error)


def sections_of(answer: Answer | None, name: bytes = b"") -> Sections:
    """Return an Answer as Twisted Names has it; raises what `Authority.query` fails with."""
    if answer is None:
        raise DomainError(name)
    if answer.rcode == records.NXDOMAIN:
        raise DNSNameError(name)
    if answer.rcode != records.NOERROR:
        raise RcodeError(answer)
    return (
        [header_of(record, answer.aa) for record in answer.answer],
        [header_of(record, answer.aa) for record in answer.authority],
        [header_of(record, answer.aa) for record in answer.additional],
    )


def header_of(record: Record, is_authoritative: bool = False) -> dns.RRHeader:
    """Return one record as Twisted Names has it; unknown types carry their octets."""
    payload = _RECORD_TYPES.lookupRecordType(record.rtype)(ttl=record.ttl)
    payload.decode(BytesIO(record.rdata), len(record.rdata))
    return dns.RRHeader(
        dotted_name(record.owner),
        record.rtype,
        record.rclass,
        record.ttl,
        payload,
        is_authoritative,
    )


def record_of(header: dns.RRHeader) -> Record:
    """Return one of Twisted Names' records as ours, names uncompressed; raises `BadName`."""
    rdata = BytesIO()
    if header.payload is not None:
        header.payload.encode(rdata)
    owner = wire_name(header.name.name)
    return Record(owner, header.type, header.ttl or 0, rdata.getvalue(), header.cls)


def dotted_name(name: bytes) -> bytes:
    """Return `name` as `dns.Name` holds it: labels between dots, nothing escaped, no final dot."""
    return b".".join(names.labels_of(name))


def wire_name(dotted: bytes) -> bytes:
    """Return the wire form of what `dns.Name` holds, its letters as they are; raises `BadName`."""
    dotted = dotted.removesuffix(b".")
    return names.from_labels(dotted.split(b".")) if dotted else names.ROOT
