"""``next``: an RCODE from one forward hands the question to the forward behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.forward import ForwardSettings
from k8sdns.interfaces import IRemoteAuthority, IUpstreams
from k8sdns.waiting import then

Asked = Answer | Deferred[Any] | None


@implementer(IRemoteAuthority, IUpstreams)
class NextForward(Authority):
    """Asks `first`, and `second` where the answer is one that the settings of the first pass on."""

    word = "forward"

    def __init__(self, first: Any, second: Any, settings: ForwardSettings) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._first = first
        self._second = second
        self._rcodes = settings.next_rcodes
        self._on_nodata = settings.next_on_nodata

    @property
    def zone(self) -> bytes:
        """The zone of the first."""
        zone: bytes = self._first.zone
        return zone

    def upstreams(self) -> tuple[str, ...]:
        """Return the upstreams of the first; those of the second speak for themselves."""
        found: tuple[str, ...] = self._first.upstreams()
        return found

    def reach(self, upstream: str, qname: bytes, qtype: int) -> Deferred[bool]:
        """Ask one upstream of the first."""
        reached: Deferred[bool] = self._first.reach(upstream, qname, qtype)
        return reached

    def leave_out(self, upstream: str) -> None:
        """Ask one upstream of the first no more."""
        self._first.leave_out(upstream)

    def take_back(self, upstream: str) -> None:
        """Ask one upstream of the first again."""
        self._first.take_back(upstream)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Tell of changes of the first."""
        unwatch: Callable[[], None] = self._first.watch(changed)
        return unwatch

    def answer(self, question: Question) -> Asked:
        """Return the answer of the first that is content with it."""
        asked: Asked = then(self._first.answer(question), lambda a: self._or_second(a, question))
        return asked

    def _or_second(self, answer: Answer | None, question: Question) -> Asked:
        if answer is None:
            return None
        is_nodata = answer.rcode == records.NOERROR and not answer.answer
        if answer.rcode in self._rcodes or (self._on_nodata and is_nodata):
            second: Asked = self._second.answer(question)
            return second
        return answer
