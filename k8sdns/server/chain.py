"""The chain of authorities of one server block: the first that says something answers.

Owns the order of asking. It *is* a `twisted.names.resolve.ResolverChain`, so stock Twisted code
can use a block as a resolver; our own queries take `answer`, which makes no Deferred that it
does not need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from twisted.names.resolve import ResolverChain

from k8sdns.answers import Answer, Question
from k8sdns.interfaces import IPendingAuthority
from k8sdns.waiting import Pending

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from k8sdns.interfaces import IAuthority

Asked: TypeAlias = "Answer | Deferred[Answer | None] | None"
Ask: TypeAlias = Callable[[Question], Asked]
Begun: TypeAlias = "Asked | Pending"


class Chain(ResolverChain):
    """Authorities in plugin order; each also provides Twisted's IResolver."""

    def __init__(self, authorities: Sequence[IAuthority]) -> None:
        super().__init__(list(authorities))  # type: ignore[no-untyped-call]
        self.authorities: tuple[Any, ...] = tuple(authorities)
        self._asks: tuple[Ask, ...] = tuple(each.answer for each in authorities)
        # Those of ours that go to the network answer with a Pending to who asks for it.
        self._begins: tuple[Callable[[Question], Begun], ...] = tuple(
            each.begin if IPendingAuthority.providedBy(each) else each.answer
            for each in self.authorities
        )

    def answer(self, question: Question) -> Asked:
        """Ask one authority after another; None if nobody knows."""
        index = 0
        for ask in self._asks:
            index += 1
            result = ask(question)
            if result is None:
                continue
            if isinstance(result, Answer):
                return result
            if index == len(self._asks):
                return result  # nobody comes behind it, as behind most forwards
            return result.addCallback(self._or_next, index, question)
        return None

    def begin(self, question: Question) -> Begun:
        """Do the same; what is waited for may be a Pending, behind which nobody is asked."""
        index = 0
        for begin in self._begins:
            index += 1
            result = begin(question)
            if result is None:
                continue
            if isinstance(result, (Answer, Pending)) or index == len(self._begins):
                return result
            return result.addCallback(self._or_next, index, question)
        return None

    def _or_next(self, result: Answer | None, index: int, question: Question) -> Asked:
        """Go on behind an authority that had to be waited for."""
        if result is not None:
            return result
        return Chain(self.authorities[index:]).answer(question)
