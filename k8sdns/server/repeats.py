"""Replies that can be given again: the shortest way from a datagram to its answer.

Owns, for one socket, the replies to the queries that keep coming: a query equal to an earlier one
but for its id gets that one's reply but for the id. Nothing here has a time to live. A reply is
repeated only while its Answer is current (`Answer.is_current`), and whoever made the Answer ends
that in the moment in which the truth changes. Refuses to know names and records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from twisted.internet.defer import Deferred

from k8sdns.answers import Answer, Question
from k8sdns.interfaces import IRepeatObserver
from k8sdns.wire.writer import reply as write

if TYPE_CHECKING:
    from k8sdns.server.block import ServerBlock
    from k8sdns.server.server import Server

Reply: TypeAlias = "bytes | None"
Tally: TypeAlias = Callable[[int], None]

MAX_REPLIES: Final = 16_384
MAX_SIGHTINGS: Final = 8_192  # queries that were seen once, before all of them are forgotten
MAX_QUERY_OCTETS: Final = 300  # the longest name with a plain OPT; longer ones carry options
TOLD_A_STEP: Final = 256  # about a fifth of a millisecond
MAX_TURNS: Final = 8  # orders of addresses that are kept of one reply


class Repeated:
    """One reply: its octets behind the id, once for every order of its addresses."""

    __slots__ = ("answer", "block", "count", "question", "tails", "tallies")

    def __init__(
        self, question: Question, answer: Answer, block: ServerBlock, tails: list[bytes], size: int
    ) -> None:
        self.question = question
        self.answer = answer
        self.block = block
        self.tails = tails
        self.tallies = _tallies(block, question, answer, size)
        self.count = 0  # repetitions that nobody was told of

    def turned(self) -> bytes:
        """Return the octets behind the id with the addresses as the rotation wants them."""
        tails = self.tails
        return tails[self.block.rotation.first(self.question, self.answer, len(tails))]  # type: ignore[no-any-return]

    def tell(self) -> None:
        """Tell the observers how often the reply was given since they heard last."""
        count, self.count = self.count, 0
        if count:
            for tally in self.tallies:
                tally(count)


class Repeater:
    """Answers the datagrams of one socket: again where it can, else by asking the server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._respond = server.respond
        self._replies: dict[bytes, Repeated] = {}
        self._seen_once: set[bytes] = set()
        self._told = 0

    def respond(
        self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]
    ) -> Reply | Deferred[Reply]:
        """Return the reply to one datagram, None for silence, or a Deferred of either."""
        found = self._replies.get(message[2:])
        if found is None or not found.answer.is_current:
            return self._respond(message, address, local_address, self.learn)
        found.count += 1
        tails = found.tails
        if len(tails) == 1:
            return message[:2] + tails[0]
        return message[:2] + found.turned()

    def learn(self, question: Question, answer: Answer, block: ServerBlock, reply: bytes) -> None:
        """Take note of a reply whose Answer is current: the second of a kind is kept."""
        query = question.message[2:]
        if query not in self._seen_once:
            # A flood of names that are asked once each must neither cost memory nor push out
            # what is asked for again and again.
            if len(self._seen_once) >= MAX_SIGHTINGS:
                self._seen_once.clear()
            if len(query) <= MAX_QUERY_OCTETS:
                self._seen_once.add(query)
            return
        if not self._is_plain(question) or not block.repeats(question, answer):
            return
        tails = self._tails(question, answer, block, reply)
        if tails:
            self._keep(query, Repeated(question, answer, block, tails, len(reply)))

    def _tails(
        self, question: Question, answer: Answer, block: ServerBlock, reply: bytes
    ) -> list[bytes]:
        """Return what stands behind the id, for every address that may lead; [] if too many may."""
        _first, count = answer.rendered(question).span
        if block.rotation is None or count < 2:
            return [reply[2:]]
        if count > MAX_TURNS:
            return []
        size = block.payload_size or self._server.payload_size
        return [write(question, answer, size, _Always(first))[2:] for first in range(count)]

    def _is_plain(self, question: Question) -> bool:
        edns = question.edns
        return question.qname_as_sent == question.qname and (edns is None or not edns.options)

    def _keep(self, query: bytes, repeated: Repeated) -> None:
        replies = self._replies
        old = replies.pop(query, None)
        if old is None and len(replies) >= MAX_REPLIES:
            old = replies.pop(next(iter(replies)))
        if old is not None:
            self._told += old.count
            old.tell()
        replies[query] = repeated

    def tell(self) -> None:
        """Tell every observer what it has not heard yet, and forget what is not current."""
        for _ in self.telling():
            pass

    def telling(self) -> Iterator[None]:
        """The same, step by step; queries may be answered in between."""
        replies = self._replies
        for number, (query, repeated) in enumerate(list(replies.items())):
            self._told += repeated.count
            repeated.tell()
            if not repeated.answer.is_current and replies.get(query) is repeated:
                del replies[query]
            if number % TOLD_A_STEP == 0:
                yield

    @property
    def served(self) -> int:
        """How many queries were answered here without asking the server."""
        return self._told + sum(repeated.count for repeated in self._replies.values())


class _Always:
    """A rotation that always begins at one place."""

    def __init__(self, first: int) -> None:
        self._first = first

    def first(self, _question: Question, _answer: Answer, _count: int) -> int:
        return self._first


def _tallies(
    block: ServerBlock, question: Question, answer: Answer, size: int
) -> tuple[Tally, ...]:
    found = (observer.tally(question, answer, size) for observer in block.all(IRepeatObserver))
    return tuple(tally for tally in (*found, answer.told) if tally is not None)
