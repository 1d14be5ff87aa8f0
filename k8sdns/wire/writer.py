"""Question and Answer to octets: flags, whole-record truncation, rotation, OPT.

Owns the reply's form and its size. Refuses to know where the Answer came from. The usual reply
is one join of octets that exist already.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from k8sdns import records
from k8sdns.answers import CD, QR, RD, TC, Answer, Question, Rendered
from k8sdns.wire import edns as edns_records
from k8sdns.wire.reader import HEADER_OCTETS, OPCODE_BITS

MAX_STREAM_OCTETS: Final = 65535

# What a reply takes over from the query's header (RFC 1035 §4.1.1, RFC 4035 §3.2.2).
_COPIED: Final = OPCODE_BITS | RD | CD
_FLAGS: Final[dict[int, bytes]] = {}


class Rotation(Protocol):
    """What `k8sdns.interfaces.IRotation` asks for, for type checkers."""

    def first(self, question: Question, answer: Answer, count: int) -> int: ...


def reply(
    question: Question, answer: Answer, payload_size: int, rotation: Rotation | None = None
) -> bytes:
    """Return the reply to `question`, no longer than its transport allows.

    `payload_size` is ours in octets, for UDP; `rotation` chooses which of the addresses leads.
    """
    rendered = answer.rendered(question)
    flags = answer.flags | question.flags & _COPIED
    body = rendered.body
    first = 0
    if rotation is not None and rendered.span[1] > 1:
        first = rotation.first(question, answer, rendered.span[1])
        if first:
            body = _rotated(rendered, first)
    edns = question.edns
    if edns is None:
        counts, opt, limit = rendered.counts, b"", edns_records.MIN_PAYLOAD
        if answer.rcode > 0xF:
            flags = flags & ~0xF | records.SERVFAIL
    else:
        client = edns.payload_size
        limit = min(payload_size, client)
        opt = edns_records.opt(limit, do=edns.do, rcode=answer.rcode, options=answer.options)
        counts = rendered.counts_with_opt
        limit = max(limit, edns_records.MIN_PAYLOAD)
    if question.is_stream:
        limit = MAX_STREAM_OCTETS
    size = HEADER_OCTETS + len(question.wire) + len(body) + len(opt)
    if size > limit:
        room = limit - size + len(body)
        body, counts = _truncated(rendered, body, first, room, bool(opt))
        flags |= TC
    head = _FLAGS.get(flags) or _flag_octets(flags)
    return b"".join((question.message[:2], head, counts, question.wire, body, opt))


def _flag_octets(flags: int) -> bytes:
    octets = flags.to_bytes(2, "big")
    _FLAGS[flags] = octets
    return octets


def _rotated(rendered: Rendered, first: int) -> bytes:
    """Return the body with the rotatable records beginning at number `first` of them."""
    start, count = rendered.span
    ends, body = rendered.ends, rendered.body
    begin = ends[start - 1] if start else 0
    cut = ends[start + first - 1]
    stop = ends[start + count - 1]
    return b"".join((body[:begin], body[cut:stop], body[begin:cut], body[stop:]))


def _truncated(
    rendered: Rendered, body: bytes, first: int, room: int, with_opt: bool
) -> tuple[bytes, bytes]:
    """Keep the leading records that fit into `room` octets; return them and the four counts."""
    ends = rendered.ends if first == 0 else _rotated_ends(rendered, first)
    kept = 0
    for end in ends:
        if end > room:
            break
        kept += 1
    counts = []
    left = kept
    for count in rendered.sections:
        counts.append(min(count, left))
        left -= counts[-1]
    counts[2] += with_opt
    return body[: ends[kept - 1] if kept else 0], struct.pack("!HHHH", 1, *counts)


def _rotated_ends(rendered: Rendered, first: int) -> tuple[int, ...]:
    start, count = rendered.span
    ends = rendered.ends
    begin = ends[start - 1] if start else 0
    order = [*range(start + first, start + count), *range(start, start + first)]
    moved = []
    at = begin
    for index in order:
        at += ends[index] - (ends[index - 1] if index else 0)
        moved.append(at)
    return (*ends[:start], *moved, *ends[start + count :])


def bare_reply(question: Question, rcode: int, payload_size: int) -> bytes:
    """Return a reply without records, as the server itself says REFUSED or SERVFAIL."""
    flags = QR | question.flags & _COPIED | rcode & 0xF
    edns = question.edns
    head = question.message[:2] + flags.to_bytes(2, "big")
    if edns is None:
        return head + b"\x00\x01" + bytes(6) + question.wire
    opt = edns_records.opt(min(edns.payload_size, payload_size), do=edns.do)
    return head + b"\x00\x01" + bytes(5) + b"\x01" + question.wire + opt
