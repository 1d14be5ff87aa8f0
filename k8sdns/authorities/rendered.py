"""Answers that are octets first: records are decoded only when somebody asks for them.

Owns such Answers, and where the TTLs stand in rendered sections. Refuses to know where the octets
came from.
"""

from __future__ import annotations

from typing import Any

from k8sdns import records
from k8sdns.answers import QUESTION_OFFSET, Answer, Question, Rendered, Sections
from k8sdns.wire.message import parse

_HEAD = bytes(4)  # an id and flags; nobody looks at them when records are decoded
_TYPE_CLASS = b"\x00\x01\x00\x01"


class RenderedAnswer(Answer):
    """An Answer made of rendered sections; `flags` as `Answer` has them, QR and RCODE included.

    `octets` are those of its records without compression where they are known, else 0.
    """

    __slots__ = ()

    def __init__(
        self,
        rendered: Rendered,
        rcode: int,
        flags: int,
        *,
        options: tuple[tuple[int, bytes], ...] = (),
        source: str = "",
        octets: int = 0,
    ) -> None:
        self.rcode = rcode
        self.flags = flags
        self.options = options
        self.source = source
        self.error = None
        self.is_current = False
        self.told = None
        self.octets = octets
        self._rendered = rendered
        self._sections = None

    def _decoded(self) -> Sections:
        kept: Any = self._rendered
        message = parse(b"".join((_HEAD, kept.counts, kept.qname, _TYPE_CLASS, kept.body)))
        return message.answer, message.authority, message.additional

    def rendered(self, question: Question) -> Rendered:
        kept: Any = self._rendered
        if kept.qname == question.qname:
            return kept  # type: ignore[no-any-return]
        # Not kept: these sections must stay what the octets say.
        return Answer(*self.sections()).rendered(question)

    def measured(self) -> int:
        """Return the octets of the records without compression, read off the octets as they are."""
        kept: Any = self._rendered
        self.octets = uncompressed(kept)
        return self.octets


def uncompressed(rendered: Rendered) -> int:
    """Return how many octets the records of valid sections have when no name is compressed."""
    body, qname = rendered.body, rendered.qname
    octets = 0
    at = 0
    for end in rendered.ends:
        name, at = _expanded(body, at, qname)
        places = records.NAMES_IN_RDATA.get(body[at] << 8 | body[at + 1])
        at += 10
        octets += name + 10
        if places is not None:
            fixed, count = places
            at += fixed
            octets += fixed
            for _ in range(count):
                name, at = _expanded(body, at, qname)
                octets += name
        octets += end - at
        at = end
    return octets


def _expanded(body: bytes, at: int, qname: bytes) -> tuple[int, int]:
    """Return how long the name at `at` is without compression, and where it ends in `body`."""
    start = QUESTION_OFFSET + len(qname) + 4
    octets = 0
    end = -1
    while length := body[at]:
        if length >= 0xC0:
            end = at + 2 if end < 0 else end
            target = (length & 0x3F) << 8 | body[at + 1]
            if target < start:  # into the question's name, and on to its end
                return octets + QUESTION_OFFSET + len(qname) - target, end
            at = target - start
        else:
            octets += length + 1
            at += length + 1
    return octets + 1, at + 1 if end < 0 else end


def ttl_places(rendered: Rendered) -> tuple[int, ...]:
    """Return the offset in the body of every record's TTL, in order."""
    body = rendered.body
    places = []
    start = 0
    for end in rendered.ends:
        at = start
        while length := body[at]:
            if length >= 0xC0:
                at += 1
                break
            at += length + 1
        places.append(at + 5)
        start = end
    return tuple(places)
