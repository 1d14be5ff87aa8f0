"""Replies that can be given again: the shortest way from a datagram to its answer.

Owns, for one socket or all streams, the replies to the queries that keep coming: a query equal to
an earlier one but for its id gets that one's reply but for the id. Nothing here has a time to
live. A reply is repeated only while its Answer is current (`Answer.is_current`), and whoever made
the Answer ends that in the moment in which the truth changes. Refuses to know names and records.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from k8sdns.answers import Answer, Question, Rendered
from k8sdns.server.denials import Denials
from k8sdns.server.late import Late
from k8sdns.server.repeated import MAX_QUERY_OCTETS, Counted, is_plain, is_truncated
from k8sdns.wire.reader import HEADER_OCTETS
from k8sdns.wire.writer import reply as write

if TYPE_CHECKING:
    from k8sdns.server.block import ServerBlock
    from k8sdns.server.server import Server

Reply: TypeAlias = "bytes | None"

MAX_REPLIES: Final = 16_384
MAX_SIGHTINGS: Final = 8_192  # queries that were seen once, before all of them are forgotten
TOLD_A_STEP: Final = 256  # about a fifth of a millisecond
FORGOTTEN_A_STEP: Final = 256
MAX_REPLY_OCTETS: Final = 4_096  # streams may have longer ones
MAX_RING_OCTETS: Final = 4_096  # of the addresses of one reply, twice over

_ID_OCTETS: Final = 2


class Ring(NamedTuple):
    """A reply behind its id whose addresses stand twice over: every turn of them is one slice."""

    head: bytes
    addresses: bytes
    tail: bytes
    links: int  # how many addresses
    size: int  # octets of one address record
    shown: int  # octets of those that fit into the reply

    def turned(self, first: int) -> bytes:
        """Return the octets with address number `first` in front."""
        at = first * self.size
        return self.head + self.addresses[at : at + self.shown] + self.tail


class Repeated(Counted):
    """One reply: its octets behind the id, or the ring that they are cut from."""

    __slots__ = ("octets", "ring")

    def __init__(
        self,
        question: Question,
        answer: Answer,
        block: ServerBlock,
        octets: bytes,
        ring: Ring | None,
    ) -> None:
        super().__init__(question, answer, block, len(octets) + _ID_OCTETS)
        self.octets = octets
        self.ring = ring

    def turned(self, ring: Ring) -> bytes:
        """Return the octets behind the id with the addresses as the rotation wants them."""
        return ring.turned(self.block.rotation.first(self.question, self.answer, ring.links))


class Repeater:
    """Answers what one socket receives, or all streams: again where it can, or asks the server."""

    def __init__(self, server: Server, *, is_stream: bool = False) -> None:
        self._server = server
        self._is_stream = is_stream
        # Streams wait with Deferreds, which few of their queries need.
        self._respond: Any = server.respond if is_stream else server.begin
        # What is in these zones is answered at once, everything else when the socket was read.
        self._live_zones: tuple[bytes, ...] = () if is_stream else server.live_zones
        self._replies: dict[bytes, Repeated] = {}
        self._seen_once: dict[bytes, Answer] = {}
        self._denials = Denials()
        self._denial_of = self._denials.find
        self._told = 0

    def respond(
        self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]
    ) -> Any:
        """Return the reply to one message, None for silence, or what is to be waited for."""
        query = message[2:]
        found = self._replies.get(query)
        if found is not None and found.answer.is_current:
            found.count += 1
            ring = found.ring
            if ring is None:
                return message[:2] + found.octets
            return message[:2] + found.turned(ring)
        denial = self._denial_of(message)
        if denial is None:
            if self._live_zones and not self._is_live(message):
                return Late(self, message, address, local_address)
            return self._respond(message, address, local_address, self.learn, self._is_stream)
        denial.count += 1
        octets = denial.head + message[12 : denial.end] + denial.rest
        if self._is_sighted(query, denial.answer):
            self._keep(query, Repeated(denial.question, denial.answer, denial.block, octets, None))
        return message[:2] + octets

    def _is_live(self, message: bytes) -> bool:
        """Tell whether a message seems to ask for what is answered without others' help.

        A label that holds the octets of a zone is answered early, which is all that it gains.
        """
        lowered = message.lower()
        for zone in self._live_zones:  # noqa: SIM110 - a generator costs as much as the search
            if lowered.find(zone) >= 0:  # `in` tries an integer first: an exception, dropped
                return True
        return False

    def ask(self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]) -> Any:
        """Do what `respond` does where nothing can be given again."""
        return self._respond(message, address, local_address, self.learn, self._is_stream)

    def shed(
        self, message: bytes, address: tuple[Any, ...], local_address: tuple[Any, ...]
    ) -> Reply:
        """Return the reply to a message for which there is no time."""
        return self._server.shed(message, address, local_address)

    def learn(self, question: Question, answer: Answer, block: ServerBlock, reply: bytes) -> None:
        """Take note of a reply whose Answer is current: the second of a kind is kept."""
        if self._denials.learn(question, answer, block, reply):
            return
        query = question.message[2:]
        if len(query) > MAX_QUERY_OCTETS or not _is_short(question, answer, reply):
            return
        if not self._is_sighted(query, answer) or not is_plain(question):
            return
        if not block.repeats(question, answer):
            return
        ring = None
        if block.rotation is not None and answer.rendered(question).span[1] > 1:
            size = block.payload_size or self._server.payload_size
            reply = write(question, answer, size)
            ring = ring_of(reply, question, answer.rendered(question))
            if ring is None:
                return
        self._keep(query, Repeated(question, answer, block, reply[_ID_OCTETS:], ring))

    def _is_sighted(self, query: bytes, answer: Answer) -> bool:
        """Tell whether a query came before and its answer has not changed since.

        Where answers change faster than they are asked for, keeping them is in vain. And a flood
        of names that are asked once each must neither cost memory nor push out what is asked for
        again and again.
        """
        sighted = self._seen_once
        before = sighted.get(query)
        if before is not None and before.is_current:
            return True
        if len(sighted) >= MAX_SIGHTINGS:
            sighted.clear()
        sighted[query] = answer
        return False

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
        yield from self._denials.telling()

    def forgetting(self) -> Iterator[None]:
        """Drop step by step what the observers have been told of: the server is over.

        Its objects hold one another, and the collector comes by only after many reloads.
        """
        replies = self._replies
        while replies:
            for query in list(islice(replies, FORGOTTEN_A_STEP)):
                del replies[query]
            yield
        self._seen_once.clear()
        yield from self._denials.forgetting()

    @property
    def served(self) -> int:
        """How many queries were answered here without asking the server."""
        given = sum(repeated.count for repeated in self._replies.values())
        return self._told + given + self._denials.served


def _is_short(question: Question, answer: Answer, reply: bytes) -> bool:
    """Tell whether an Answer is short, also where its reply had to be."""
    if len(reply) > MAX_REPLY_OCTETS:
        return False
    return not is_truncated(reply) or len(answer.rendered(question).body) <= MAX_REPLY_OCTETS


def ring_of(reply: bytes, question: Question, rendered: Rendered) -> Ring | None:
    """Return the ring of a reply that nobody turned; None for one too long, or of unequal links.

    Its addresses must be of one size: then those that fit are as many wherever it begins.
    """
    start, count = rendered.span
    ends = (0, *rendered.ends)[start : start + count + 1]
    size = ends[1] - ends[0]
    octets = rendered.body[ends[0] : ends[-1]]
    if any(b - a != size for a, b in pairwise(ends)) or 2 * len(octets) > MAX_RING_OCTETS:
        return None
    answers = int.from_bytes(reply[6:8], "big")
    begin = HEADER_OCTETS + len(question.wire) + ends[0]
    shown = size * max(0, min(answers - start, count))
    head, tail = reply[_ID_OCTETS:begin], reply[begin + shown :]
    return Ring(head, octets * 2, tail, count, size, shown)
