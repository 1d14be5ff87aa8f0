"""What is read as a query, what is rejected, and what is dropped."""

from __future__ import annotations

import dns.message
import pytest
from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.errors import WireError
from k8sdns.wire import message as messages
from k8sdns.wire.names import unpack
from k8sdns.wire.reader import read

WEB = dns.message.make_query("web.shop.svc.cluster.local", "A")


def rcode(reply: Question | bytes | None) -> int:
    assert isinstance(reply, bytes)
    return dns.message.from_wire(reply).rcode()


def test_a_plain_query_becomes_a_question() -> None:
    wire = dns.message.make_query("Web.Shop.svc.cluster.local", "SRV").to_wire()
    question = read(wire)
    assert isinstance(question, Question)
    assert question.qname == names.from_text("web.shop.svc.cluster.local")
    assert question.qname_as_sent == names.from_text("Web.Shop.svc.cluster.local", lower=False)
    assert (question.qtype, question.qclass, question.edns) == (records.SRV, records.IN, None)
    assert question.size == len(wire)


@pytest.mark.parametrize("octets", range(12))
def test_what_is_shorter_than_a_header_is_dropped(octets: int) -> None:
    assert read(WEB.to_wire()[:octets]) is None


def test_a_response_is_dropped() -> None:
    wire = bytearray(WEB.to_wire())
    wire[2] |= 0x80
    assert read(bytes(wire)) is None


@pytest.mark.parametrize("opcode", [1, 2, 3, 5, 6, 15])
def test_other_opcodes_are_not_implemented_and_kept(opcode: int) -> None:
    wire = bytearray(WEB.to_wire())
    wire[2] |= opcode << 3
    reply = read(bytes(wire))
    assert rcode(reply) == records.NOTIMP
    assert isinstance(reply, bytes)
    assert (reply[2] >> 3) & 0xF == opcode
    assert len(reply) == 12


def test_notify_is_read() -> None:
    wire = bytearray(WEB.to_wire())
    wire[2] |= 4 << 3
    question = read(bytes(wire))
    assert isinstance(question, Question)
    assert question.opcode == 4


@pytest.mark.parametrize(
    ("place", "count"), [(4, 0), (4, 2), (6, 2), (8, 2), (10, 3), (6, 0xFFFF), (10, 0xFFFF)]
)
def test_odd_counts_are_format_errors(place: int, count: int) -> None:
    wire = bytearray(WEB.to_wire())
    wire[place : place + 2] = count.to_bytes(2, "big")
    assert rcode(read(bytes(wire))) == records.FORMERR


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"\x03web",
        b"\x03web\x00",
        b"\x03web\x00\x00\x01\x00",
        b"\xc0\x0c\x00\x01\x00\x01",
        b"\x40a\x00\x00\x01\x00\x01",
        b"\x3f" + b"a" * 62,
        b"\x01a" * 127 + b"\x01a\x00\x00\x01\x00\x01",
    ],
    ids=["none", "cut", "no type", "no class", "pointer", "label type", "short label", "too long"],
)
def test_a_question_that_does_not_parse_is_a_format_error(question: bytes) -> None:
    assert rcode(read(WEB.to_wire()[:12] + question)) == records.FORMERR


def test_a_name_of_255_octets_is_read() -> None:
    name = b"\x01a" * 127 + b"\x00"
    question = read(WEB.to_wire()[:12] + name + b"\x00\x01\x00\x01")
    assert isinstance(question, Question)
    assert len(question.qname) == 255


def test_octets_after_the_counted_sections_are_ignored() -> None:
    assert isinstance(read(WEB.to_wire() + b"garbage"), Question)


class TestEdns:
    """OPT in queries."""

    def test_size_and_do_are_read(self) -> None:
        query = dns.message.make_query("a.example", "A", use_edns=0, payload=4096, want_dnssec=True)
        question = read(query.to_wire())
        assert isinstance(question, Question)
        assert question.edns is not None
        assert (question.edns.payload_size, question.edns.do) == (4096, True)

    def test_options_are_read(self) -> None:
        query = dns.message.make_query("a.example", "A", use_edns=0)
        query.use_edns(0, options=[dns.edns.GenericOption(65001, b"\x00\xff")])
        question = read(query.to_wire())
        assert isinstance(question, Question)
        assert question.edns is not None
        assert question.edns.options == ((65001, b"\x00\xff"),)

    def test_another_version_is_badvers_with_the_question(self) -> None:
        query = dns.message.make_query("a.example", "A")
        query.use_edns(1)
        reply = read(query.to_wire())
        assert isinstance(reply, bytes)
        parsed = dns.message.from_wire(reply)
        assert parsed.rcode() == records.BADVERS
        assert parsed.edns == 0
        assert parsed.question == query.question

    def test_two_opts_are_a_format_error(self) -> None:
        opt = b"\x00\x00\x29\x04\xd0" + bytes(6)
        wire = bytearray(WEB.to_wire() + opt + opt)
        wire[11] = 2
        assert rcode(read(bytes(wire))) == records.FORMERR

    @pytest.mark.parametrize("rdata", [b"\x00", b"\x00\x01\x00\x02\x00"])
    def test_broken_options_are_a_format_error(self, rdata: bytes) -> None:
        opt = b"\x00\x00\x29\x04\xd0" + bytes(4) + len(rdata).to_bytes(2, "big") + rdata
        wire = bytearray(WEB.to_wire() + opt)
        wire[11] = 1
        assert rcode(read(bytes(wire))) == records.FORMERR


class TestPointers:
    """Names inside messages."""

    def test_a_pointer_back_is_followed(self) -> None:
        assert unpack(b"\x01a\x00\x01b\xc0\x00", 3) == (b"\x01b\x01a\x00", 7)

    @pytest.mark.parametrize(
        "message",
        [b"\xc0\x00", b"\x01a\xc0\x00", b"\xc0\x02\x00", b"\x01a\xc0\x05\x00\x00", b"\xc0"],
        ids=["itself", "its own name", "forward", "forward after a label", "half"],
    )
    def test_any_other_pointer_is_refused(self, message: bytes) -> None:
        with pytest.raises(WireError):
            unpack(message, 0)

    def test_a_chain_of_pointers_ends(self) -> None:
        chain = b"\x00" + b"".join(
            (0xC000 | max(0, at - 2)).to_bytes(2, "big") for at in range(1, 201, 2)
        )
        assert unpack(chain, len(chain) - 2) == (b"\x00", len(chain))


@given(st.binary(max_size=600))
def test_any_octets_are_read_rejected_or_dropped(octets: bytes) -> None:
    """Law 1: no input raises; a rejection is a message that an independent parser reads."""
    result = read(octets)
    if isinstance(result, bytes):
        assert dns.message.from_wire(result).id == int.from_bytes(octets[:2], "big")


@given(st.binary(max_size=300), st.integers(0, 0xFFFF), st.integers(0, 3))
def test_any_body_behind_a_good_header_is_handled(body: bytes, flags: int, additional: int) -> None:
    header = b"\x12\x34" + (flags & 0x7FFF).to_bytes(2, "big") + b"\x00\x01" + bytes(5)
    result = read(header + bytes((additional,)) + body)
    assert result is not None
    if isinstance(result, bytes):
        dns.message.from_wire(result)


@given(st.binary(max_size=300))
def test_any_reply_of_an_upstream_is_read_or_refused(octets: bytes) -> None:
    try:
        parsed = messages.parse(octets)
    except WireError:
        return
    assert all(len(record.owner) <= 255 for record in parsed.answer)


def test_names_cannot_share_a_chain_of_pointers_without_end() -> None:
    """Thousands of names, each through thousands of pointers, would take seconds to read."""
    chain = b"\x01a\x00" + b"".join(
        (0xC000 | (2 * n - 1 if n > 1 else 0)).to_bytes(2, "big") for n in range(1, 200)
    )
    places = [3 + 2 * n for n in range(199)]
    assert unpack(chain, places[125])[0] == b"\x01a\x00"
    with pytest.raises(WireError, match="too many compression pointers"):
        unpack(chain, places[126])
