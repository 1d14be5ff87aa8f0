"""The usual reply, recognised at a glance: the addresses that were asked for, and nothing else.

Owns the shapes of such replies: NOERROR, one question that is ours to the letter, its addresses
behind a pointer to it, all of one TTL, and an OPT record without options or none. What is not
exactly that is no less of a reply; `k8sdns.authorities.upstream.reply` reads it record by record,
by rules that all of this keeps.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from k8sdns import records
from k8sdns.answers import AA, AD, CD, QR, RA, RD

MAX_USUAL: Final = 16  # addresses of a usual reply
_QUESTION: Final = 12  # where a message's question begins
_COUNTS: Final = struct.Struct("!HHHH")
_HEADER: Final = struct.Struct("!HHHHH")
_OPT: Final = rb"(?:\x00\x00\x29..\x00...\x00\x00)?"
_OPT_OCTETS: Final = 11


class Shape:
    """What replies with as many addresses of one type have in common; offsets in octets."""

    __slots__ = (
        "counts", "counts_with_opt", "ends", "number", "octets", "sections", "size", "span",
        "ttl_places",
    )  # fmt: skip

    def __init__(self, number: int, rdata: int) -> None:
        size = 12 + rdata
        self.number = number
        self.size = number * size  # of the records as they stand there
        self.octets = number * (10 + rdata)  # the same less their owners
        self.counts = _COUNTS.pack(1, number, 0, 0)
        self.counts_with_opt = _COUNTS.pack(1, number, 0, 1)
        self.ends = tuple(range(size, number * size + 1, size))
        self.sections = (number, 0, 0)
        self.span = (0, number)
        self.ttl_places = tuple(range(6, number * size, size))


class Head:
    """What a usual header says: its flags, how many addresses, the octets of an OPT record."""

    __slots__ = ("flags", "number", "opt")

    def __init__(self, flags: int, number: int, opt: int) -> None:
        self.flags = flags
        self.number = number
        self.opt = opt


def _pattern(rtype: int, rdata: int) -> re.Pattern[bytes]:
    """Return what the octets behind a usual reply's question match."""
    head = re.escape(b"\xc0\x0c" + rtype.to_bytes(2, "big") + b"\x00\x01")
    tail = re.escape(rdata.to_bytes(2, "big")) + b"." * rdata
    # One TTL for all, as RFC 2181 §5.2 wants it; below 2^31 (§8).
    pattern = rb"%b([\x00-\x7f]...)%b(?:%b\1%b)*%b" % (head, tail, head, tail, _OPT)
    return re.compile(pattern, re.DOTALL)


# What stands behind the id, as far as the counts.
HEADS: Final[dict[bytes, Head]] = {
    _HEADER.pack(QR | aa | rd | ra | ad | cd, 1, number, 0, opt): Head(
        QR | aa | rd | ra | ad | cd, number, opt * _OPT_OCTETS
    )
    for aa in (0, AA)
    for rd in (0, RD)
    for ra in (0, RA)
    for ad in (0, AD)
    for cd in (0, CD)
    for number in range(1, MAX_USUAL + 1)
    for opt in (0, 1)
}

# By the last four octets of a question: its type and class.
_KINDS: Final = {
    rtype.to_bytes(2, "big") + b"\x00\x01": (
        _pattern(rtype, rdata).fullmatch,
        [Shape(number, rdata) for number in range(MAX_USUAL + 1)],
    )
    for rtype, rdata in ((records.A, 4), (records.AAAA, 16))
}


def usual_shape(message: bytes, head: Head, wire: bytes) -> Shape | None:
    """Return the Shape of a reply to the question `wire`; None for one that is not usual.

    `head` is of `HEADS`, found by the octets of `message` behind its id as far as the counts.
    """
    start = _QUESTION + len(wire)
    kind = _KINDS.get(wire[-4:])
    if kind is None or message[_QUESTION:start] != wire:
        return None
    matches, shapes = kind
    shape = shapes[head.number]
    if len(message) != start + shape.size + head.opt or matches(message, start) is None:
        return None
    return shape
