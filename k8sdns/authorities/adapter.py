"""Any Twisted Names resolver as one of our authorities.

Owns: what a resolver's answers and failures mean to a chain of ours. Refuses to know resolvers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IResolver
from twisted.names import dns, error
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question, failed
from k8sdns.authorities.base import RcodeError, Sections, dotted_name, record_of
from k8sdns.errors import QueryError
from k8sdns.interfaces import IAuthority
from k8sdns.names import BadName

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

ANSWER_WITHIN: Final = 5.0  # seconds
NO_REACHABLE_AUTHORITY: Final = 22  # RFC 8914 §4.23

# Failures that are RCODEs. Plain DomainError and NotImplementedError are not among them: they
# mean "not mine", as they do in a stock chain.
_RCODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (error.DNSFormatError, records.FORMERR),
    (error.DNSServerError, records.SERVFAIL),
    (error.DNSNotImplementedError, records.NOTIMP),
    (error.DNSQueryRefusedError, records.REFUSED),
    (error.DNSUnknownError, records.SERVFAIL),
    (error.ResolverError, records.SERVFAIL),
)


@implementer(IAuthority)
class ResolverAuthority:
    """Asks `resolver`, an IResolver, and gives it at most `answer_within` seconds by `clock`.

    Stock resolvers forget the class of a question: answers of another class are not given.
    """

    def __init__(
        self,
        resolver: IResolver,
        word: str,
        clock: IReactorTime,
        answer_within: float = ANSWER_WITHIN,
    ) -> None:
        self.word = word
        # The interface demands `timeout`; every resolver has a default for it.
        self._ask: Callable[[dns.Query], Any] = resolver.query  # type: ignore[assignment]
        self._clock = clock
        self._answer_within = answer_within

    def answer(self, question: Question) -> Answer | Deferred[Answer | None] | None:
        """Return what the resolver says, at once if it knows at once."""
        name = dotted_name(question.qname_as_sent)
        query = dns.Query(name, question.qtype, question.qclass)
        waiting: Deferred[Any] = self._ask(query)
        waiting.addTimeout(self._answer_within, self._clock)
        waiting.addCallbacks(self._answered, self._failed, callbackArgs=(question,))
        if waiting.called and not waiting.paused:
            return _now(waiting)
        return waiting

    def _answered(self, sections: Sections, question: Question) -> Answer | None:
        try:
            answer, authority, additional = (tuple(map(record_of, part)) for part in sections)
        except BadName as problem:
            return self._error(f"bad name in an answer: {problem}", records.SERVFAIL)
        wanted = (question.qclass, records.CLASS_ANY)
        if any(record.rclass not in wanted for record in answer):
            return None
        if not answer and question.qclass != records.IN:
            return None
        is_ours = any(header.auth for part in sections[:2] for header in part)
        return Answer(answer, authority, additional, aa=is_ours, source=self.word)

    def _failed(self, failure: Failure) -> Answer | None:
        problem: Any = failure.value
        if isinstance(problem, RcodeError):
            answer: Answer = problem.answer
            return answer
        if isinstance(problem, error.AuthoritativeDomainError):
            return Answer(rcode=records.NXDOMAIN, aa=True, source=self.word)
        if isinstance(problem, error.DNSNameError):
            return Answer(rcode=records.NXDOMAIN, source=self.word)
        for kind, rcode in _RCODES:
            if isinstance(problem, kind):
                return self._error(f"{kind.__name__} {problem}", rcode)
        if isinstance(problem, error.DomainError | NotImplementedError):
            return None
        failure.trap(defer.TimeoutError)
        return self._error(
            "no answer in time", records.SERVFAIL, ede=(NO_REACHABLE_AUTHORITY, "timed out")
        )

    def _error(self, text: str, rcode: int, ede: tuple[int, str] | None = None) -> Answer:
        text = f"{self.word}: {text.rstrip()}"
        return failed(QueryError(text, rcode=rcode, ede=ede), self.word)


def _now(waiting: Deferred[Any]) -> Answer | None:
    """Return the result of a Deferred that has one; raises its failure."""
    result: Any = None

    def keep(value: Any) -> None:
        nonlocal result
        result = value

    waiting.addBoth(keep)
    if isinstance(result, Failure):
        result.raiseException()
    found: Answer | None = result
    return found
