"""Replies that were given again, and whom to tell of it.

Owns the count that a kept reply goes on with, and the observers that are to hear of it. Refuses
to know how a reply is found and what it is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from mypy_extensions import mypyc_attr

from k8sdns.answers import TC, Answer, Question
from k8sdns.interfaces import IRepeatObserver

if TYPE_CHECKING:
    from k8sdns.server.block import ServerBlock

Tally: TypeAlias = Callable[[int], None]

MAX_QUERY_OCTETS: Final = 300  # the longest name with a plain OPT; longer ones carry options

_TRUNCATED: Final = TC >> 8  # in the third octet of a message


@mypyc_attr(allow_interpreted_subclasses=True)
class Counted:
    """Counts how often a reply of `size` octets was given again, for the observers of its block."""

    __slots__ = ("answer", "block", "count", "question", "tallies")

    def __init__(self, question: Question, answer: Answer, block: ServerBlock, size: int) -> None:
        self.question = question
        self.answer = answer
        self.block = block
        self.tallies = _tallies(block, question, answer, size)
        self.count = 0  # repetitions that nobody was told of

    def tell(self) -> None:
        """Tell the observers how often the reply was given since they heard last."""
        count, self.count = self.count, 0
        if count:
            for tally in self.tallies:
                tally(count)


def _tallies(
    block: ServerBlock, question: Question, answer: Answer, size: int
) -> tuple[Tally, ...]:
    found = (observer.tally(question, answer, size) for observer in block.all(IRepeatObserver))
    return tuple(tally for tally in (*found, answer.told) if tally is not None)


def is_plain(question: Question) -> bool:
    """Tell whether a question is what any client would ask: lower case, no EDNS options."""
    edns = question.edns
    return question.qname_as_sent == question.qname and (edns is None or not edns.options)


def is_truncated(reply: bytes) -> bool:
    """Tell whether a reply had to leave records out (TC, RFC 1035 §4.1.1)."""
    return bool(reply[2] & _TRUNCATED)
