"""Whole messages to values: the replies of upstream servers.

Owns reading a response with all its sections. Refuses to know what to do with it; the hot path
of our own queries is `reader`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from k8sdns import records
from k8sdns.answers import RD, Edns, Question
from k8sdns.errors import WireError
from k8sdns.records import Record
from k8sdns.wire import edns as edns_records
from k8sdns.wire.names import unpack
from k8sdns.wire.reader import HEADER_OCTETS, read_record

_HEADER = struct.Struct("!HHHHHH")
_TYPE_CLASS = struct.Struct("!HH")


class Message(NamedTuple):
    """A message with its sections; names are uncompressed, OPT is taken out into `edns`."""

    id: int
    flags: int  # the second header word: QR, opcode, AA, TC, RD, RA, Z, AD, CD, RCODE
    qname: bytes | None  # as in the message; None where there is no question
    qtype: int
    qclass: int
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    edns: Edns | None
    rcode: int  # 12 bit, OPT's upper bits included


def parse(message: bytes) -> Message:
    """Return the Message of `message`; raises WireError for anything malformed."""
    if len(message) < HEADER_OCTETS:
        raise WireError("a message is shorter than its header")
    id_, flags, questions, *counts = _HEADER.unpack_from(message)
    if questions > 1:
        raise WireError("more than one question")
    at = HEADER_OCTETS
    qname, qtype, qclass = None, 0, 0
    if questions:
        qname, at = unpack(message, at)
        if at + 4 > len(message):
            raise WireError("the question is cut short")
        qtype, qclass = _TYPE_CLASS.unpack_from(message, at)
        at += 4
    sections = []
    for count in counts:
        section, at = _section(message, at, count)
        sections.append(section)
    additional, edns, upper = _split_opt(sections[2])
    rcode = upper << 4 | flags & 0xF
    answer, authority = tuple(sections[0]), tuple(sections[1])
    return Message(id_, flags, qname, qtype, qclass, answer, authority, additional, edns, rcode)


def _section(message: bytes, at: int, count: int) -> tuple[list[Record], int]:
    section = []
    for _ in range(count):
        record, at = read_record(message, at)
        section.append(record)
    return section, at


def _split_opt(section: list[Record]) -> tuple[tuple[Record, ...], Edns | None, int]:
    found = [record for record in section if record.rtype == records.OPT]
    if not found:
        return tuple(section), None, 0
    if len(found) > 1:
        raise WireError("more than one OPT record")
    opt = found[0]
    edns = edns_records.from_record(opt.rclass, opt.ttl, opt.rdata)
    return tuple(r for r in section if r.rtype != records.OPT), edns, opt.ttl >> 24


def query(id_: int, question: Question, *, flags: int = RD, edns: bytes = b"") -> bytes:
    """Return a query for the question's name as it was sent, with `edns` as its OPT record."""
    counts = (1, 0, 0, 1 if edns else 0)
    return struct.pack("!HHHHHH", id_, flags, *counts) + question.wire + edns
