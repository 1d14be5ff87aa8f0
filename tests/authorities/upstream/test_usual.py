"""The usual reply: what is recognised at a glance says what reading it record by record says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.upstream.query import Query
from k8sdns.authorities.upstream.reply import WireAnswer, read_reply, usual_answer
from k8sdns.authorities.upstream.usual import HEADS, MAX_USUAL, usual_shape
from k8sdns.wire.reader import HEADER_OCTETS

NAME = names.from_text("wWw.example.com", lower=False)
OPT = bytes.fromhex("00002904d0000000000000")
SIZES = {records.A: 4, records.AAAA: 16}


def said(rtype=records.A, count=1, *, ttl=300, opt=OPT, flags=0x8180):
    """Return a question and the message that answers it."""
    wire = NAME + struct.pack("!HH", rtype, records.IN)
    head = struct.pack("!HHHHHH", 7, flags, 1, count, 0, int(bool(opt)))
    size = SIZES.get(rtype, 4)
    found = b"".join(
        struct.pack("!HHHIH", 0xC00C, rtype, records.IN, ttl, size) + bytes([n] * size)
        for n in range(count)
    )
    return wire, head + wire + found + opt


def glance(wire, message):
    """Return the Answer that is seen at a glance, or None."""
    head = HEADS.get(message[2:HEADER_OCTETS])
    shape = None if head is None else usual_shape(message, head, wire)
    if head is None or shape is None:
        return None
    start = HEADER_OCTETS + len(wire)
    body = message[start : start + shape.size]
    return usual_answer(head.flags, shape, body, Question(NAME).qname)


def facts(answer):
    assert isinstance(answer, WireAnswer)
    return (
        answer.flags, answer.rcode, answer.rendered(Question(NAME)), answer.ttl_places,
        answer.least_ttl, answer.octets, answer.options, answer.sections(),
    )  # fmt: skip


@pytest.mark.parametrize("rtype", sorted(SIZES))
@pytest.mark.parametrize("count", [1, 2, 3, MAX_USUAL])
@pytest.mark.parametrize("opt", [OPT, b""], ids=["opt", "plain"])
@pytest.mark.parametrize("flags", [0x8180, 0x8580, 0x81A0, 0x8190, 0x8000])
def test_usual_replies_are_recognised(rtype, count, opt, flags):
    wire, message = said(rtype, count, opt=opt, flags=flags)
    assert facts(glance(wire, message)) == facts(read_reply(message, wire))


@pytest.mark.parametrize(
    ("why", "wire", "message"),
    [
        ("another type", *said(records.TXT)),
        ("no address", *said(count=0)),
        ("more addresses than are usual", *said(count=MAX_USUAL + 1)),
        ("truncated", *said(flags=0x8380)),
        ("NXDOMAIN", *said(flags=0x8183)),
        ("a query", *said(flags=0x0180)),
        ("another opcode", *said(flags=0xA180)),
        ("a TTL that counts as 0", *said(ttl=0x80000000)),
        ("other letters", said()[0], said()[1].replace(b"wWw", b"www")),
        ("an RCODE of twelve bits", *said(opt=bytes.fromhex("00002904d0010000000000"))),
        ("an option", *said(opt=bytes.fromhex("00002904d00000000000040001000000"))),
        ("octets behind the end", said()[0], said()[1] + b"\x00"),
        ("cut short", said()[0], said()[1][:-1]),
        ("unequal TTLs", said()[0], said(count=2)[1].replace(b"\x01\x2c", b"\x01\x2d", 1)),
    ],
)
def test_what_is_unusual_is_read_record_by_record(why, wire, message):
    assert glance(wire, message) is None, why


@given(
    rtype=st.sampled_from(sorted(SIZES)),
    count=st.integers(1, 4),
    ttl=st.integers(0, 0xFFFFFFFF),
    opt=st.sampled_from([OPT, b""]),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=3),
)
@example(records.A, 2, 0x0A0A0A0A, OPT, [(40, 0x0A)])
def test_a_glance_sees_what_reading_finds(rtype, count, ttl, opt, changes):
    wire, made = said(rtype, count, ttl=ttl, opt=opt)
    message = bytearray(made)
    for at, octet in changes:
        message[at % len(message)] = octet
    seen = glance(wire, bytes(message))
    if seen is not None:
        assert Query(wire, 0x0100, OPT).is_answered_by(bytes(message))
        assert facts(seen) == facts(read_reply(bytes(message), wire))
