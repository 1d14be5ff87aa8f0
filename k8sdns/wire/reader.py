"""Octets to Question, strictly: what is not exactly one well-formed query is decided here.

Owns the acceptance rules (CoreDNS's, which are miekg/dns's): too short or a response is dropped;
an opcode we do not serve is NOTIMP; wrong counts or a body that does not parse is FORMERR; an
EDNS version other than 0 is BADVERS. Refuses to know zones and policies.
"""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from k8sdns import records
from k8sdns.answers import AD, CD, QR, RD, Edns, Question
from k8sdns.errors import WireError
from k8sdns.names import MAX_NAME_OCTETS
from k8sdns.records import Record
from k8sdns.wire import edns as edns_records
from k8sdns.wire.names import unpack

HEADER_OCTETS: Final = 12
OPCODE_BITS: Final = 0x7800
OPCODE_NOTIFY: Final = 0x2000
Z_BIT: Final = 0x0040

_HEADER: Final = struct.Struct("!HHHHHH")
_TYPE_CLASS: Final = struct.Struct("!HH")
_RR_TAIL: Final = struct.Struct("!HHIH")
_NO_COUNTS: Final = bytes(8)
_ONE_QUESTION: Final = b"\x00\x01\x00\x00\x00\x00\x00\x00"

Header: TypeAlias = tuple[int, int, int, int]  # flags, then how many records the sections have

# The headers that nearly every query has, behind the id: RD, with or without AD or CD, one
# question, and an OPT record or none.
_USUAL: Final[dict[bytes, Header]] = {
    struct.pack("!HHHHH", flags, 1, 0, 0, opt): (flags, 0, 0, opt)
    for flags in (RD, RD | AD, RD | CD, RD | AD | CD, 0)
    for opt in (0, 1)
}

_new = Question.__new__


def read(message: bytes) -> Question | bytes | None:
    """Return the Question of a query, the reply that rejects it, or None to drop it in silence."""
    header = _USUAL.get(message[2:HEADER_OCTETS])
    if header is None:
        read_header = _read_header(message)
        if not isinstance(read_header, tuple):
            return read_header
        header = read_header
    flags, answers, authorities, additionals = header
    at = HEADER_OCTETS
    try:
        while length := message[at]:
            if length > 63:
                return _reject(message, flags, records.FORMERR)
            at += length + 1
        at += 1
        qtype, qclass = _TYPE_CLASS.unpack_from(message, at)
    except (IndexError, struct.error):
        return _reject(message, flags, records.FORMERR)
    if at - HEADER_OCTETS > MAX_NAME_OCTETS:
        return _reject(message, flags, records.FORMERR)
    question = _new(Question)
    question.flags = flags
    question.message = message
    sent = question.qname_as_sent = message[HEADER_OCTETS:at]
    question.qname = sent.lower()
    question.qtype = qtype
    question.qclass = qclass
    end = at + 4
    question.wire = message[HEADER_OCTETS:end]
    if additionals or answers or authorities:
        return _with_records(question, end, answers, authorities, additionals)
    return question


def _read_header(message: bytes) -> Header | bytes | None:
    """Return the flags and counts of a header, the reply that rejects it, or None to drop it."""
    if len(message) < HEADER_OCTETS:
        return None
    _id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & (QR | OPCODE_BITS):
        if flags & QR:
            return None
        if flags & OPCODE_BITS != OPCODE_NOTIFY:
            return _reject(message, flags, records.NOTIMP)
        flags &= ~(RD | CD)
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        return _reject(message, flags & ~OPCODE_BITS, records.FORMERR)
    return flags, answers, authorities, additionals


def _reject(message: bytes, flags: int, rcode: int) -> bytes:
    """Return a header-only reply with the query's other bits, as miekg/dns rejects."""
    kept = (flags | QR) & ~(Z_BIT | 0xF) | rcode
    return message[:2] + kept.to_bytes(2, "big") + _NO_COUNTS


def _reject_question(question: Question, rcode: int) -> bytes:
    kept = QR | question.flags & (OPCODE_BITS | RD | CD) | rcode
    return question.message[:2] + kept.to_bytes(2, "big") + _ONE_QUESTION + question.wire


def _with_records(
    question: Question, at: int, answers: int, authorities: int, additionals: int
) -> Question | bytes:
    """Read what follows the question: OPT, and the SOA of an IXFR."""
    message = question.message
    edns = None
    if additionals == 1 and not answers and not authorities:
        edns = edns_records.from_octets(message[at:])
    if edns is None:
        try:
            edns = _read_sections(question, at, answers, authorities, additionals)
        except WireError:
            return _reject_question(question, records.FORMERR)
    question.edns = edns
    if edns is not None and edns.version:
        return _bad_version(question)
    return question


def _read_sections(
    question: Question, at: int, answers: int, authorities: int, additionals: int
) -> Edns | None:
    message = question.message
    for _ in range(answers):
        _record, at = read_record(message, at)
    sent = []
    for _ in range(authorities):
        record, at = read_record(message, at)
        sent.append(record)
    question.authority_records = tuple(sent)
    edns = None
    for _ in range(additionals):
        record, at = read_record(message, at)
        if record.rtype == records.OPT:
            if edns is not None or record.owner != b"\x00":
                raise WireError("a message has at most one OPT record, and the root owns it")
            edns = edns_records.from_record(record.rclass, record.ttl, record.rdata)
    return edns


def _bad_version(question: Question) -> bytes:
    """Return BADVERS: question echoed, an OPT of version 0 with nothing in it (RFC 6891 §6.1.3)."""
    kept = QR | question.flags & (OPCODE_BITS | RD | CD)
    head = question.message[:2] + kept.to_bytes(2, "big") + b"\x00\x01\x00\x00\x00\x00\x00\x01"
    return head + question.wire + edns_records.opt(0, do=False, rcode=records.BADVERS)


def read_record(message: bytes, at: int) -> tuple[Record, int]:
    """Return the record at `at`, names in rdata uncompressed too, and where the next begins."""
    owner, at = unpack(message, at)
    try:
        rtype, rclass, ttl, length = _RR_TAIL.unpack_from(message, at)
    except struct.error:
        raise WireError("a record is cut short") from None
    at += 10
    end = at + length
    if end > len(message):
        raise WireError("rdata runs past the end of the message")
    place = records.NAMES_IN_RDATA.get(rtype)
    rdata = message[at:end] if place is None else _unpacked_rdata(message, at, end, place)
    return Record(owner, rtype, ttl, rdata, rclass), end


def _unpacked_rdata(message: bytes, at: int, end: int, place: tuple[int, int]) -> bytes:
    head, count = place
    parts = [message[at : at + head]]
    at += head
    if at > end:
        raise WireError("rdata is shorter than its type asks")
    for _ in range(count):
        name, at = unpack(message, at)
        parts.append(name)
    if at > end:
        raise WireError("a name runs past its rdata")
    parts.append(message[at:end])
    return b"".join(parts)
