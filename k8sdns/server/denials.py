"""One denial for all names below the same encloser of which the same is true.

Owns, for one socket or all streams, the NXDOMAIN replies that hold for every name whose *next
closer name* (RFC 5155 §1.3: one label longer than the closest encloser) is none of the encloser's
children, and the NODATA replies that hold for all children that have no such record. What search
lists make of outside names (``www.example.com.default.svc…``) is hardly ever the same twice, but
is denied here by one dictionary probe a label. The octets are those of the reply to such a name
of the same length, with the labels that were asked in their place.

A denial holds while its Answer is current (`Answer.is_current`), no longer; there is no time to
live in here. Changes elsewhere move a zone's serial and nothing else of it: then its maker says
what has become of the Answer, and the serial is written over. Refuses to know what exists: the
maker of an Answer says so (`Question.encloser`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any, Final

from k8sdns import records
from k8sdns.answers import Answer, Question, ZoneDenial
from k8sdns.names import MAX_LABEL_OCTETS
from k8sdns.server.repeated import MAX_QUERY_OCTETS, Counted, is_plain, is_truncated
from k8sdns.wire.reader import HEADER_OCTETS

if TYPE_CHECKING:
    from k8sdns.server.block import ServerBlock

MAX_CUTS: Final = 2_048
MAX_LENGTHS: Final = 32_768  # of names, of all cuts together
MAX_LABELS: Final = 10  # of a name, in front of its encloser
TOLD_A_STEP: Final = 16  # cuts, of some dozen denials each

_FIRST_LABEL: Final = HEADER_OCTETS + 1
_SERIAL_OCTETS: Final = 4


class Denial(Counted):
    """The reply to names of one length: its octets around the question."""

    __slots__ = ("end", "head", "rest", "serial_at")

    def __init__(
        self, question: Question, answer: Answer, block: ServerBlock, reply: bytes
    ) -> None:
        super().__init__(question, answer, block, len(reply))
        self.end = HEADER_OCTETS + len(question.wire)
        self.head = reply[2:HEADER_OCTETS]
        self.rest = reply[self.end :]
        self.serial_at = self.rest.find(answer.soa_tail) if isinstance(answer, ZoneDenial) else -1

    def renew(self, answer: ZoneDenial) -> bool:
        """Become the reply of `answer`, where only the zone's serial tells the two apart."""
        before, at = self.answer, self.serial_at
        if at < 0 or not isinstance(before, ZoneDenial) or before.options != answer.options:
            return False
        tail = answer.soa_tail
        if tail[_SERIAL_OCTETS:] != before.soa_tail[_SERIAL_OCTETS:]:
            return False
        end = at + _SERIAL_OCTETS
        self.rest = self.rest[:at] + tail[:_SERIAL_OCTETS] + self.rest[end:]
        self.answer = answer
        return True


class Cut:
    """What is below one encloser, as queries with the same end and header ask for it."""

    __slots__ = ("children", "lacking", "maker", "nodata", "nxdomain", "sighted")

    def __init__(self) -> None:
        self.children: Container[bytes] = ()
        self.lacking: Container[bytes] = ()
        self.maker: Any = None
        # By where the encloser begins in the query.
        self.nxdomain: dict[int, Denial] = {}
        self.nodata: dict[int, Denial] = {}
        self.sighted: dict[tuple[int, int], Answer] = {}

    def denials(self) -> Iterator[Denial]:
        """Yield all denials."""
        yield from list(self.nxdomain.values())
        yield from list(self.nodata.values())


class Denials:
    """The cuts that one socket, or all streams, have met; `find` is asked for every query."""

    __slots__ = ("_by_end", "_cuts", "_lengths", "_told")

    def __init__(self) -> None:
        self._by_end: dict[bytes, dict[bytes, Cut]] = {}  # by the query's end, then its header
        self._cuts: deque[tuple[bytes, bytes]] = deque()
        self._lengths = 0  # how many sightings, and no more denials, there are
        self._told = 0

    def find(self, message: bytes) -> Denial | None:
        """Return the denial of what a message asks; None for whatever else it is."""
        by_end = self._by_end
        at = HEADER_OCTETS
        try:
            for _ in range(MAX_LABELS):
                length = message[at]
                if not 0 < length <= MAX_LABEL_OCTETS:
                    return None
                begin = at + 1
                at = begin + length
                cuts = by_end.get(message[at:])
                if cuts is not None:
                    cut = cuts.get(message[2:HEADER_OCTETS])
                    return None if cut is None else _denial_of(cut, message, begin, at)
        except IndexError:
            pass
        return None

    def learn(self, question: Question, answer: Answer, block: ServerBlock, reply: bytes) -> bool:
        """Take note of a denial that its maker calls one for all; tell whether it is such a one.

        It is kept at its second sighting, or where the one before was given again: where the truth
        changes faster than it is asked for, keeping is in vain, unless the denial outlives changes.
        """
        encloser = question.encloser
        if encloser is None:
            return False
        message = question.message
        if len(message) > MAX_QUERY_OCTETS or not is_plain(question) or is_truncated(reply):
            return False
        if not block.repeats_below(question, answer, question.qname[encloser.at :]):
            return False
        at = HEADER_OCTETS + encloser.at
        while self._lengths >= MAX_LENGTHS:
            self._drop_oldest()
        cut = self._cut(message[at:], message[2:HEADER_OCTETS])
        goes_on = encloser.maker is not None and encloser.children is cut.children
        cut.children, cut.lacking, cut.maker = encloser[1:]
        kept = cut.nxdomain if answer.rcode == records.NXDOMAIN else cut.nodata
        old = kept.get(at)
        if old is None or not old.count:
            sighting = (at, answer.rcode)
            before = cut.sighted.get(sighting)
            is_second = before is answer or (before is not None and goes_on)
            if not is_second:
                self._lengths += before is None
                cut.sighted[sighting] = answer
                return True
        if old is not None:
            self._forget(old)
        kept[at] = Denial(question, answer, block, reply)
        return True

    def _cut(self, end: bytes, header: bytes) -> Cut:
        cuts = self._by_end.get(end)
        if cuts is None:
            cuts = self._by_end[end] = {}
        cut = cuts.get(header)
        if cut is None:
            self._make_room()
            cut = self._by_end.setdefault(end, cuts)[header] = Cut()
            self._cuts.append((end, header))
        return cut

    def _make_room(self) -> None:
        if len(self._cuts) >= MAX_CUTS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        end, header = self._cuts.popleft()
        cuts = self._by_end[end]
        cut = cuts.pop(header)
        self._lengths -= len(cut.sighted)
        for denial in cut.denials():
            self._forget(denial)
        if not cuts:
            del self._by_end[end]

    def _forget(self, denial: Denial) -> None:
        self._told += denial.count
        denial.tell()

    def _all_cuts(self) -> list[Cut]:
        return [cut for cuts in self._by_end.values() for cut in cuts.values()]

    def telling(self) -> Iterator[None]:
        """Tell every observer what it has not heard yet, step by step."""
        for number, cut in enumerate(self._all_cuts()):
            for denial in cut.denials():
                self._forget(denial)
            if number % TOLD_A_STEP == 0:
                yield

    def forgetting(self) -> Iterator[None]:
        """Drop everything, step by step."""
        while self._cuts:
            for _ in range(min(TOLD_A_STEP, len(self._cuts))):
                self._drop_oldest()
            yield

    @property
    def served(self) -> int:
        """How many queries were denied here."""
        counts = (denial.count for cut in self._all_cuts() for denial in cut.denials())
        return self._told + sum(counts)


def _denial_of(cut: Cut, message: bytes, begin: int, at: int) -> Denial | None:
    """Return the denial that holds for the label between `begin` and `at`, where it is current."""
    label = message[begin:at].lower()
    if label not in cut.children:
        denial = cut.nxdomain.get(at)
    elif begin == _FIRST_LABEL and label in cut.lacking:
        denial = cut.nodata.get(at)
    else:
        return None
    if denial is None or denial.answer.is_current:
        return denial
    return _renewed(cut, denial, message, at)


def _renewed(cut: Cut, denial: Denial, message: bytes, at: int) -> Denial | None:
    """Return `denial` as it is after a change; None where that must be found out anew."""
    if cut.maker is None:
        return None
    label = message[at + 1 : at + 1 + message[at]]
    answer = cut.maker.denial_now(denial.answer, cut.children, label)
    return denial if answer is not None and denial.renew(answer) else None
