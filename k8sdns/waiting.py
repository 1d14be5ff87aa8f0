"""Values that may have to be waited for: the value itself, or something that tells it later.

Nearly every answer is at hand at once, and then nothing is made. Where it is not, authorities and
stages return a Deferred, and `then` is the only place that needs to know the difference. What
comes over the network for many queries is a `Pending` until it meets whoever wants a Deferred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from k8sdns.answers import Answer, Question

T = TypeVar("T")
U = TypeVar("U")


def then(result: T | Deferred[T], call: Callable[[T], U | Deferred[U]]) -> U | Deferred[U]:
    """Go on with `call` once `result` is there: now if it is a value, later if it is a Deferred."""
    if isinstance(result, Deferred):
        return result.addCallback(call)
    return call(result)


class Pending:
    """The Answer to `question`, to be told once: an Answer, never None, or a Failure.

    What a Deferred does for one caller and no callbacks: making, chaining and firing one costs as
    much as reading the query and writing the reply together. Whoever makes it calls `tell`; whoever
    it is returned to sets `listener`, or takes the outcome where it `is_over` already. The rest is
    what those on its way remember until then: `keeper` and `key` are the cache's, `context` is the
    listener's, `way_back` is who sends the reply and `control` what that needs for it.
    """

    is_over: bool = False
    outcome: Any = None  # where nobody listened
    listener: Any = None  # its `heard(pending, outcome)` is called
    keeper: Any = None  # its `came(answer, question, key)` makes the Answer that is told
    key: Any = None
    context: Any = None
    way_back: Any = None  # its `send_reply(octets or None, pending)` is called
    control: Any = None
    reply: bytes | None = None  # where there was no way back yet

    def __init__(self, question: Question) -> None:
        self.question = question

    def tell(self, outcome: Answer | Failure) -> None:
        """End the waiting; nothing happens where it ended before."""
        if self.is_over:
            return
        self.is_over = True
        listener = self.listener
        if listener is None:
            self.outcome = outcome
        else:
            listener.heard(self, outcome)

    def cancel(self) -> None:
        """Give up waiting: the outcome is a CancelledError."""
        self.tell(Failure(CancelledError()))

    def deferred(self) -> Deferred[Answer | None]:
        """Return a Deferred of it; it has no listener then."""
        told: Deferred[Answer | None] = Deferred()
        if self.is_over:
            _fire(told, self.outcome)
        else:
            self.listener = _Told(told)
        return told


class _Told:
    """Listens on behalf of a Deferred."""

    def __init__(self, told: Deferred[Answer | None]) -> None:
        self._told = told

    def heard(self, _pending: Pending, outcome: Answer | Failure) -> None:
        _fire(self._told, outcome)


def _fire(told: Deferred[Answer | None], outcome: Answer | Failure) -> None:
    if isinstance(outcome, Failure):
        told.errback(outcome)
    else:
        told.callback(outcome)
