"""An upstream's message as an Answer, its octets kept where they can be.

Owns the check that lets an upstream's octets stand behind a client's question: the question has
the same length, every name is whole and every pointer leads strictly back. Then offsets mean the
same in both messages, and nothing is decoded. What fails the check but is well-formed is decoded
and rendered anew; what is not well-formed is no reply.
"""

from __future__ import annotations

import struct
from typing import Any

from k8sdns import records
from k8sdns.answers import AA, AD, QR, RA, TC, Answer, Edns, Rendered
from k8sdns.authorities.rendered import RenderedAnswer
from k8sdns.authorities.upstream.usual import Shape
from k8sdns.errors import WireError
from k8sdns.names import MAX_NAME_OCTETS
from k8sdns.wire import edns
from k8sdns.wire.message import Message, parse
from k8sdns.wire.names import MAX_POINTERS
from k8sdns.wire.reader import HEADER_OCTETS

EXTENDED_ERROR = 15
MAX_TTL = 0x7FFFFFFF  # anything longer counts as 0 (RFC 2181 §8)
_KEPT = AA | TC | RA | AD  # header bits that stay as the upstream set them
USUAL_FLAGS = QR | _KEPT  # of a usual reply's header, which has no RCODE
_HEADER_COUNTS = struct.Struct("!HHH")
_COUNTS = struct.Struct("!HHHH")
_RR_TAIL = struct.Struct("!HHIH")
_NAMES_IN_RDATA = records.NAMES_IN_RDATA
_new_tuple: Any = tuple.__new__
_ADDRESS_OCTETS = {records.A: 4, records.AAAA: 16}


class WireAnswer(RenderedAnswer):
    """An Answer whose octets are an upstream's.

    `ttl_places` are the offsets of the TTLs in the rendered body, in the order of the records, and
    `least_ttl` is the shortest of them in seconds.
    """

    __slots__ = ("least_ttl", "ttl_places")

    def __init__(
        self,
        flags: int,
        rendered: Rendered,
        ttl_places: tuple[int, ...],
        least_ttl: int,
        octets: int,
        options: tuple[tuple[int, bytes], ...],
    ) -> None:
        rcode = flags & 0xF
        super().__init__(
            rendered, rcode, QR | flags & _KEPT | rcode, options=options, octets=octets
        )
        self.ttl_places = ttl_places
        self.least_ttl = least_ttl


def read_reply(message: bytes, wire: bytes) -> Answer:
    """Return the Answer that `message` is; its question is known to equal `wire` but for case.

    Raises WireError for anything malformed.
    """
    try:
        answer = _spliced(message, wire)
    except (IndexError, struct.error):
        raise WireError("the message is cut short") from None
    return answer if answer is not None else _decoded_answer(parse(message))


def usual_answer(flags: int, shape: Shape, body: bytes, qname: bytes) -> WireAnswer:
    """Return the Answer that a usual reply is; `body` are its records."""
    rendered = usual_rendered(shape, body, qname)
    least_ttl = int.from_bytes(body[6:10], "big")
    octets = shape.octets + shape.number * len(qname)
    return WireAnswer(flags, rendered, shape.ttl_places, least_ttl, octets, ())


def usual_rendered(shape: Shape, body: bytes, qname: bytes) -> Rendered:
    """Return the rendered sections of a usual reply."""
    counts, with_opt = shape.counts, shape.counts_with_opt
    # Past the constructor of the named tuple, which is a function in Python.
    rendered: Rendered = _new_tuple(
        Rendered, (qname, counts, with_opt, body, shape.ends, shape.sections, False, shape.span)
    )
    return rendered


def _decoded_answer(message: Message) -> Answer:
    flags = message.flags
    return Answer(
        message.answer,
        message.authority,
        message.additional,
        rcode=message.rcode,
        aa=bool(flags & AA),
        tc=bool(flags & TC),
        ra=bool(flags & RA),
        ad=bool(flags & AD),
        options=_passed_on(message.edns),
    )


def _passed_on(opt: Edns | None) -> tuple[tuple[int, bytes], ...]:
    """Return the options that a client may see: why it went wrong (RFC 8914 §3), nothing else."""
    if opt is None:
        return ()
    return tuple(option for option in opt.options if option[0] == EXTENDED_ERROR)[:4]


def _spliced(message: bytes, wire: bytes) -> Answer | None:
    """Walk the records once; None if the octets cannot be used as they are."""
    answers, authorities, additionals = _HEADER_COUNTS.unpack_from(message, 6)
    start = at = HEADER_OCTETS + len(wire)
    total = answers + authorities + additionals
    names = {HEADER_OCTETS: len(wire) - 4}
    ends: list[int] = []
    ttl_places: list[int] = []
    first_movable = movable = 0  # the first run of addresses: these may change places
    options: tuple[tuple[int, bytes], ...] = ()
    least_ttl = MAX_TTL
    octets = 0  # of the records without compression, as long as all of them are the usual ones
    is_usual = True
    size = len(message)
    for index in range(total):
        first = message[at]
        begins_with_pointer = first >= 0xC0
        owner = names.get((first & 0x3F) << 8 | message[at + 1]) if begins_with_pointer else None
        if owner is not None:
            at += 2  # the usual owner: a pointer to a place that is known to hold a name
        elif first:
            at = _end_of_name(message, at, names)
            owner, is_usual = 0, False
        else:
            at += 1  # the root, which owns OPT
            owner = 1
        rtype, rclass, ttl, length = _RR_TAIL.unpack_from(message, at)
        if rtype == records.OPT:
            is_odd = index != total - 1 or message[at - 1] or begins_with_pointer
            if is_odd or ttl >> 24 or at + 10 + length > size:
                return None  # not last, a 12-bit RCODE, or cut short: the long way knows
            if length:
                rdata = message[at + 10 : at + 10 + length]
                options = _passed_on(edns.from_record(rclass, ttl, rdata))
            additionals -= 1
            break
        ttl_places.append(at + 4 - start)
        if ttl < least_ttl:
            least_ttl = ttl
        elif ttl > MAX_TTL:
            least_ttl = 0
        at += 10
        end = at + length
        if end > size:
            raise WireError("rdata runs past the end of the message")
        octets += (owner & 0xFF) + 10 + length
        expected = _ADDRESS_OCTETS.get(rtype)
        if expected is None:
            if rtype in _NAMES_IN_RDATA:
                _check_rdata(message, at, end, rtype, names)
                is_usual = False
        elif expected != length:
            raise WireError("an address has the wrong length")
        elif begins_with_pointer and index < answers:
            if not movable:
                first_movable, movable = index, 1
            elif first_movable + movable == index:
                movable += 1
        at = end
        ends.append(at - start)
    body = message[start : start + ends[-1]] if ends else b""
    span = first_movable, movable
    if movable > 1:
        span = _span(first_movable, movable, ends, start, names)
    rendered = _rendered(wire, (answers, authorities, additionals), body, ends, span)
    flags = message[2] << 8 | message[3]
    measured = octets if is_usual else 0
    return WireAnswer(flags, rendered, tuple(ttl_places), least_ttl, measured, options)


def _rendered(
    wire: bytes,
    counts: tuple[int, int, int],
    body: bytes,
    ends: list[int],
    span: tuple[int, int],
) -> Rendered:
    answers, authorities, additionals = counts
    return Rendered(
        wire[:-4].lower(),
        _COUNTS.pack(1, answers, authorities, additionals),
        _COUNTS.pack(1, answers, authorities, additionals + 1),
        body,
        tuple(ends),
        counts,
        False,
        span,
    )


def _span(
    first: int, count: int, ends: list[int], start: int, names: dict[int, int]
) -> tuple[int, int]:
    """Return the rotatable records; none if a name points into what would move."""
    begin = start + (ends[first - 1] if first else 0)
    end = start + ends[first + count - 1]
    if any(begin <= place < end for place in names):
        return 0, 0
    return first, count


def _end_of_name(message: bytes, at: int, names: dict[int, int]) -> int:
    """Return where the name at `at` ends; raises WireError unless it is whole.

    `names` are the places that pointers led to so far, with the octets of the name found there in
    the low eight bits, and how many pointers it holds above them.
    """
    end = -1
    octets = 1
    pointers = 0
    floor = at
    passed: list[tuple[int, int]] = []
    while length := message[at]:
        if length < 0x40:
            octets += length + 1
            at += length + 1
            if octets > MAX_NAME_OCTETS:
                raise WireError("a name is too long")
            continue
        if length < 0xC0:
            raise WireError("a label type that does not exist")
        target = (length & 0x3F) << 8 | message[at + 1]
        if not HEADER_OCTETS <= target < floor:
            raise WireError("a compression pointer does not lead back")
        if end < 0:
            end = at + 2
        known = names.get(target)
        if known is not None:
            octets += (known & 0xFF) - 1
            pointers = 1 + (known >> 8)
            break
        passed.append((target, octets - 1))
        at = floor = target
    else:
        if end < 0:
            end = at + 1
    if octets > MAX_NAME_OCTETS:
        raise WireError("a name is too long")
    for target, before in reversed(passed):
        names[target] = octets - before | pointers << 8
        pointers += 1
    if pointers > MAX_POINTERS:
        raise WireError("a name has too many compression pointers")
    return end


def _check_rdata(message: bytes, at: int, end: int, rtype: int, names: dict[int, int]) -> None:
    """Raise WireError where an independent reader would trip over the names inside rdata."""
    head, count = _NAMES_IN_RDATA[rtype]
    at += head
    for _ in range(count):
        if at >= end:
            raise WireError("rdata is shorter than its type asks")
        at = _end_of_name(message, at, names)
    if rtype == records.SOA:
        at += 20
    if at != end:
        raise WireError("a name does not end with its rdata")
