"""An upstream's octets behind our client's question: the same records, or none at all."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings, strategies as st

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.authorities.cache.judgement import least_ttl_of
from k8sdns.authorities.rendered import ttl_places, uncompressed
from k8sdns.authorities.upstream.reply import WireAnswer, read_reply
from k8sdns.errors import WireError
from k8sdns.wire.writer import reply

LINES = [
    "www.example.com. 300 A 192.0.2.1",
    "www.example.com. 300 A 192.0.2.2",
    "www.example.com. 60 AAAA 2001:db8::1",
    "www.example.com. 20 CNAME real.example.net.",
    "real.example.net. 20 A 192.0.2.3",
    "real.example.net. 20 A 192.0.2.4",
    "example.com. 100 MX 10 mail.example.com.",
    "example.com. 100 NS ns.example.com.",
    "example.com. 3600 SOA ns.example.com. admin.example.com. 1 2 3 4 5",
    "_x._tcp.example.com. 5 SRV 1 2 3 www.example.com.",
    'example.com. 5 TXT "one" "two"',
    "example.com. 5 TYPE65280 \\# 3 010203",
    "sub.example.com. 5 DNAME example.net.",
    "www.example.com. 5 HTTPS 1 . alpn=h2",
    "ns.example.com. 7 A 192.0.2.53",
]

sections = st.lists(st.sampled_from(LINES), max_size=6, unique=True)
spellings = st.sampled_from(["www.example.com.", "WwW.eXample.com.", "a.b.www.example.com.", "."])


def upstream_message(qname, answer, authority, additional, rcode="NOERROR", opt=True):
    query = dns.message.make_query(qname, "A", use_edns=0 if opt else -1)
    message = dns.message.make_response(query)
    message.flags |= dns.flags.RA
    message.set_rcode(dns.rcode.from_text(rcode))
    for section, lines in (
        (message.answer, answer), (message.authority, authority), (message.additional, additional),
    ):  # fmt: skip
        for line in lines:
            owner, ttl, rtype, rdata = line.split(None, 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, rdata))
    return message


def asked(qname, *, payload=True):
    query = dns.message.make_query(qname, "A", use_edns=0 if payload else -1, payload=4096)
    question = Question(names.from_text(qname, lower=False))
    question.message = query.to_wire()
    question.is_stream = True
    return question


def lines_of(section):
    return sorted(line for rrset in section for line in rrset.to_text().lower().splitlines())


@given(qname=spellings, answer=sections, authority=sections, additional=sections, opt=st.booleans())
def test_the_client_gets_the_upstreams_records(qname, answer, authority, additional, opt):
    message = upstream_message(qname, answer, authority, additional, opt=opt)
    question = asked(qname)
    found = read_reply(message.to_wire(), question.wire)
    assert isinstance(found, WireAnswer)
    told = dns.message.from_wire(reply(question, found, 1232))
    for ours, theirs in zip(told.sections[1:], message.sections[1:], strict=True):
        assert lines_of(ours) == lines_of(theirs)
    assert told.flags & dns.flags.RA


@given(answer=sections, authority=sections, additional=sections)
def test_the_places_of_ttls_are_those_of_the_records(answer, authority, additional):
    message = upstream_message("www.example.com.", answer, authority, additional)
    found = read_reply(message.to_wire(), asked("www.example.com.").wire)
    rendered = found.rendered(asked("www.example.com."))
    read = [int.from_bytes(rendered.body[at : at + 4], "big") for at in found.ttl_places]
    records = [*found.answer, *found.authority, *found.additional]
    assert read == [record.ttl for record in records]
    assert ttl_places(rendered) == found.ttl_places
    assert least_ttl_of(rendered.body, found.ttl_places) == found.least_ttl
    assert found.octets in (0, uncompressed(rendered))


@settings(max_examples=300)
@given(
    answer=sections,
    authority=sections,
    changes=st.lists(st.tuples(st.integers(12, 400), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 30),
)
def test_damaged_octets_never_reach_the_client_unreadable(answer, authority, changes, cut):
    octets = bytearray(upstream_message("www.example.com.", answer, authority, []).to_wire())
    question = asked("www.example.com.")
    end = 12 + len(question.wire)
    for place, octet in changes:
        if end <= place < len(octets):
            octets[place] = octet
    octets = octets[: max(end, len(octets) - cut)]
    try:
        found = read_reply(bytes(octets), question.wire)
    except WireError:
        return
    told = reply(question, found, 1232)
    # An independent reader gets through it: every count, name and length fits.
    end = 12
    counts = [int.from_bytes(told[at : at + 2], "big") for at in (6, 8, 10)]
    end += len(question.wire)
    for _ in range(sum(counts)):
        _name, used = dns.name.from_wire(told, end)
        length = int.from_bytes(told[end + used + 8 : end + used + 10], "big")
        end += used + 10 + length
        assert end <= len(told)
    assert end == len(told)


@given(answer=sections, first=st.integers(0, 5))
def test_turning_the_addresses_changes_nothing_else(answer, first):
    message = upstream_message("www.example.com.", answer, [], LINES[8:9])
    question = asked("www.example.com.")
    found = read_reply(message.to_wire(), question.wire)

    class Turn:
        def first(self, _question, _answer, count):
            return first % count

    told = dns.message.from_wire(reply(question, found, 1232, Turn()))
    assert lines_of(told.answer) == lines_of(message.answer)
    assert lines_of(told.additional) == lines_of(message.additional)


def test_addresses_that_a_name_points_into_are_not_turned():
    # a. A twice; the second owner is a pointer to the first record's owner, itself a pointer.
    record = bytes.fromhex("000100010000000a0004c0000201")
    body = b"\xc0\x0c" + record + b"\xc0\x13" + record
    wire = b"\x01a\x00\x00\x01\x00\x01"
    octets = bytes.fromhex("00018180000100020000" + "0000") + wire + body
    assert octets[0x13:0x15] == b"\xc0\x0c"
    found = read_reply(octets, wire)
    question = Question(b"\x01a\x00")
    assert found.rendered(question).span == (0, 0)
    assert len(found.answer) == 2


@pytest.mark.parametrize(
    ("why", "body", "counts"),
    [
        ("a pointer to itself", "c01300010001000000010004c0000201", "000100000000"),
        ("a pointer forward", "c02000010001000000010004c0000201", "000100000000"),
        ("a pointer into the header", "c00000010001000000010004c0000201", "000100000000"),
        ("a label type of no kind", "4061000001000100000001000400000000", "000100000000"),
        ("fewer records than counted", "c00c00010001000000010004c0000201", "000200000000"),
        ("rdata past the end", "c00c00010001000000010005c0000201", "000100000000"),
        ("an address of three octets", "c00c00010001000000010003c00002", "000100000000"),
        ("an alias with octets behind its name", "c00c00050001000000010003c00c00", "000100000000"),
        ("an alias without a name", "c00c00050001000000010000", "000100000000"),
        ("two OPT records", "0000290200000000000000" * 2, "000000000002"),
        ("an OPT record cut short", "00002902000000000000ff", "000000000001"),
    ],
)
def test_what_is_malformed_is_no_reply(why, body, counts):
    wire = b"\x01a\x00\x00\x01\x00\x01"
    octets = bytes.fromhex("0001818000 01".replace(" ", "") + counts) + wire + bytes.fromhex(body)
    with pytest.raises(WireError):
        read_reply(octets, wire)


def test_a_record_behind_opt_is_read_the_long_way():
    wire = b"\x01a\x00\x00\x01\x00\x01"
    body = "0000290200000000000000" + "c00c00010001000000010004c0000201"
    octets = bytes.fromhex("000181800001000000000002") + wire + bytes.fromhex(body)
    found = read_reply(octets, wire)
    assert not isinstance(found, WireAnswer)
    assert len(found.additional) == 1


def test_a_name_that_grows_too_long_through_pointers_is_no_reply():
    label = b"\x3f" + b"x" * 63
    wire = label * 3 + b"\x00\x00\x01\x00\x01"
    body = label + b"\xc0\x0c" + bytes.fromhex("00010001000000010004c0000201")
    octets = bytes.fromhex("000181800001000100000000") + wire + body
    with pytest.raises(WireError):
        read_reply(octets, wire)


@pytest.mark.parametrize(("pointers", "is_fine"), [(126, True), (127, False)])
@pytest.mark.parametrize("is_shared", [False, True])
def test_pointers_of_one_name_are_bounded_also_where_names_share_them(pointers, is_fine, is_shared):
    """What is spliced is read again name by name, by us and by whoever gets the reply."""
    wire = Question(names.from_text("www.example.org")).wire
    links = pointers - 1
    start = 12 + len(wire) + 11  # of the chain, in the rdata of an opaque record
    targets = [12, *(start + 2 * n for n in range(links))]
    chain = b"".join((0xC000 | target).to_bytes(2, "big") for target in targets[:links])
    opaque = b"\x00" + struct.pack("!HHIH", 16, 1, 5, len(chain)) + chain
    middle, last = targets[60], targets[links]
    owners = [middle, last] if is_shared else [last]
    empty = struct.pack("!HHIH", 16, 1, 5, 0)
    body = opaque + b"".join((0xC000 | at).to_bytes(2, "big") + empty for at in owners)
    message = struct.pack("!HHHHHH", 1, 0x8180, 1, 1 + len(owners), 0, 0) + wire + body
    if is_fine:
        answer = read_reply(message, wire)
        assert isinstance(answer, WireAnswer)
        assert answer.answer[-1].owner == names.from_text("www.example.org")
    else:
        with pytest.raises(WireError):
            read_reply(message, wire)


@pytest.mark.parametrize("opt", [False, True])
def test_the_usual_reply_is_measured_as_it_is_read(opt):
    message = upstream_message("www.example.com.", LINES[:2], [], [], opt=opt)
    found = read_reply(message.to_wire(), asked("www.example.com.").wire)
    assert found.octets == 2 * (17 + 10 + 4)
