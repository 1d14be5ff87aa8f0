"""A server block: stages around a chain, and those who watch the replies.

Owns what the directives of one block installed, and the one place where failures become Answers.
A bug met while answering costs that query a SERVFAIL; it is counted and logged, and the server
goes on. Refuses to know sockets and octets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from k8sdns import answers, names
from k8sdns.answers import Answer, Question
from k8sdns.errors import NoNextAuthority, QueryError, ServerFailure
from k8sdns.interfaces import (
    IAuthority,
    IFailureObserver,
    IObserver,
    IRepeatable,
    IRepeatObserver,
    IRotation,
    IRouting,
    IStage,
)
from k8sdns.server.chain import Chain
from k8sdns.waiting import Pending

if TYPE_CHECKING:
    from k8sdns.metrics import Counts

log = Logger()

Answered: TypeAlias = "Answer | Deferred[Answer]"
Respond: TypeAlias = Callable[[Question], Answered]
Unsettled: TypeAlias = "Answer | Pending | Deferred[Any]"
Ask: TypeAlias = Callable[[Question], Unsettled]


class ServerBlock:
    """What one block of a Corefile came to; `respond` answers a question and never raises.

    `ask` does the same, but what it returns a Deferred or Pending of must still be `settled`: it
    may be None or fail.

    `things` are what its directives added, in plugin order. `payload_size` is the longest reply
    over UDP in octets; None is the server's own limit. `authorities` are those that answer, where
    they are not simply all of them.
    """

    def __init__(
        self,
        things: Sequence[Any],
        panics: Counts,
        words: Sequence[str] = (),
        payload_size: int | None = None,
        authorities: Sequence[Any] | None = None,
    ) -> None:
        self._things = tuple(things)
        self.payload_size = payload_size
        self._panics = panics
        answering = {thing.word for thing in self.all(IAuthority)}
        # `view` and others that answer nothing may stand behind the last who was asked.
        self._last_word = next((w for w in reversed(words) if w in answering), "".join(words[-1:]))
        self.is_empty = not words
        self.chain = Chain(self.all(IAuthority) if authorities is None else authorities)
        self.observers: tuple[Any, ...] = tuple(each.saw for each in self.all(IObserver))
        self.failure_observers: tuple[Any, ...] = tuple(
            each.saw_failure for each in self.all(IFailureObserver)
        )
        self.rotation: Any = next(iter(self.all(IRotation)), None)
        self.routings: tuple[Any, ...] = tuple(self.all(IRouting))
        stages = self.all(IStage)
        self.respond: Respond = self._compiled(stages)
        # What a query's own server asks: it settles what it waited for together with the reply.
        self.ask: Ask = self.respond if stages else self._ask
        self._may_repeat = not stages and self._observers_can_be_told()
        self._routed_apart: set[bytes] = set()
        self._repeatable: tuple[Any, ...] = tuple(
            takewhile(IRepeatable.providedBy, self.chain.authorities)
        )
        sources = [authority.repeats_as for authority in self._repeatable]
        self._namesakes: tuple[Any, ...] = tuple(
            authority
            for at, authority in enumerate(self._repeatable)
            if authority.repeats_as in sources[at + 1 :]
        )

    def all(self, interface: Any) -> list[Any]:
        """Return what provides `interface`, in plugin order."""
        return [thing for thing in self._things if interface.providedBy(thing)]

    def _observers_can_be_told(self) -> bool:
        return all(map(IRepeatObserver.providedBy, self.all(IObserver)))

    def repeat_nothing(self) -> None:
        """Have every question asked of the chain: others beside this block have their say."""
        self._may_repeat = False

    def route_apart(self, zones: Iterable[bytes]) -> None:
        """Take note of the zones that a listener of this block routes by."""
        self._routed_apart.update(zones)

    def repeats(self, question: Question, answer: Answer) -> bool:
        """Tell whether `answer`, while it is current, is what the same question would get again.

        So it is where nothing stands around the chain, and whoever was asked before the maker of
        the Answer passes such a question on for ever.
        """
        if not self._may_repeat:
            return False
        for authority in self._repeatable:
            if not authority.never_answers(question):
                return self._is_from(authority, answer)
        return False

    def repeats_below(self, question: Question, answer: Answer, parent: bytes) -> bool:
        """The same of every question of this type for a name below `parent`."""
        if not self._may_repeat:
            return False
        if any(zone != parent and names.is_subdomain(zone, parent) for zone in self._routed_apart):
            return False
        for authority in self._repeatable:
            if not authority.never_answers_below(question, parent):
                return self._is_from(authority, answer)
        return False

    def _is_from(self, authority: Any, answer: Answer) -> bool:
        """Tell whether an Answer can only be that of one authority, not of a namesake behind it."""
        source: str = authority.repeats_as
        return source == answer.source and authority not in self._namesakes

    def _compiled(self, stages: Iterable[Any]) -> Respond:
        """Wrap the stages around the chain, the first one outermost."""
        respond: Respond = self._ask_chain
        for stage in list(stages)[::-1]:
            respond = self._around(stage.respond, respond)
        return respond

    def _around(self, stage: Callable[[Question, Respond], Answered], rest: Respond) -> Respond:
        def respond(question: Question) -> Answered:
            try:
                result = stage(question, rest)
                if isinstance(result, Answer):
                    return result
                return result.addErrback(self._failed, question)
            except Exception:  # noqa: BLE001 - a bug costs this query only
                return self._failed(Failure(), question)

        return respond

    def _ask_chain(self, question: Question) -> Answered:
        result = self._ask(question)
        if isinstance(result, Answer):
            return result
        if isinstance(result, Pending):
            result = result.deferred()
        # One pair: saying that nobody knows cannot fail.
        return result.addCallbacks(self._or_nobody, self._failed, errbackArgs=(question,))

    def _ask(self, question: Question) -> Unsettled:
        # What is neither an Answer nor a Deferred fails in here, as a bug like any other.
        try:
            result = self.chain.begin(question)
            # Asking for the Answer, not for the Deferred: that is an abstract base class, whose
            # isinstance costs as much as reading the query.
            if isinstance(result, (Answer, Pending)):
                return result
            if result is None:
                return self._nobody()
            if not isinstance(result, Deferred):
                raise TypeError(f"{result!r} is no answer")
            return result
        except QueryError as error:
            return answers.failed(error)
        except Exception:  # noqa: BLE001 - a bug costs this query only
            return self._failed(Failure(), question)

    def settled(self, result: Answer | Failure | None, question: Question) -> Answer:
        """Return the Answer that the wait for what `ask` returned came to."""
        if isinstance(result, Answer):
            return result
        if isinstance(result, Failure):
            return self._failed(result, question)
        return self._or_nobody(result)

    def _or_nobody(self, result: Answer | None) -> Answer:
        return self._nobody() if result is None else result

    def _nobody(self) -> Answer:
        return answers.failed(NoNextAuthority(f"plugin/{self._last_word}: no next plugin found"))

    def _failed(self, failure: Failure, question: Question) -> Answer:
        error = failure.value
        if isinstance(error, QueryError):
            return answers.failed(error)
        if isinstance(error, CancelledError):
            return answers.failed(ServerFailure("gave up waiting for an answer"))
        self._panics.add()
        log.failure(
            "Recovered from a bug while answering {name} {type} for {client}",
            failure,
            name=question.name_text,
            type=question.qtype,
            client=question.peer.host,
        )
        return answers.failed(ServerFailure(f"{type(error).__name__}: {error}"))
