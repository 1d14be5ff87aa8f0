"""Replies: what they say, how large they get, and that others read the same."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Answer, Question, ZoneDenial, extended_error
from k8sdns.records import Record
from k8sdns.testing.strategies import sections, wire_names
from k8sdns.wire import message as messages
from k8sdns.wire.reader import read
from k8sdns.wire.writer import bare_reply, reply

ZONE = names.from_text("cluster.local")
SOA = records.soa(
    ZONE, b"\x02ns\x03dns" + ZONE, b"\x0ahostmaster" + ZONE, (7, 7200, 1800, 86400, 5), 5
)


def ask(name: str, qtype: str = "A", **edns: object) -> Question:
    if edns:
        edns = {"use_edns": 0, **edns}
    question = read(dns.message.make_query(name, qtype, **edns).to_wire())  # type: ignore[arg-type]
    assert isinstance(question, Question)
    return question


def addresses(question: Question, count: int) -> tuple[Record, ...]:
    return tuple(
        records.address(question.qname, f"10.1.{n >> 8}.{n & 255}", 5) for n in range(count)
    )


class Always:
    """A rotation that always begins at one place."""

    def __init__(self, first: int) -> None:
        self._first = first

    def first(self, question: Question, answer: Answer, count: int) -> int:
        return self._first % count


def test_the_letters_of_the_question_come_back() -> None:
    question = ask("WeB.shop.SVC.cluster.local")
    answer = Answer(addresses(question, 1), aa=True)
    parsed = dns.message.from_wire(reply(question, answer, 1232))
    assert parsed.question[0].name.to_text() == "WeB.shop.SVC.cluster.local."
    assert parsed.answer[0].name.to_text() == "WeB.shop.SVC.cluster.local."
    assert parsed.flags & dns.flags.AA


def test_a_denial_of_a_zone_serves_names_of_any_length_and_case() -> None:
    denial = ZoneDenial(ZONE, SOA, rcode=records.NXDOMAIN)
    for name in ("a.cluster.local", "x.y.z.CLUSTER.local", "cluster.local"):
        parsed = dns.message.from_wire(reply(ask(name), denial, 1232))
        assert parsed.rcode() == records.NXDOMAIN
        assert (
            parsed.authority[0].to_text().lower()
            == (
                "cluster.local. 5 IN SOA ns.dns.cluster.local. hostmaster.cluster.local. "
                "7 7200 1800 86400 5"
            ).lower()
        )


@pytest.mark.parametrize("name", ["elsewhere.example", "xcluster.local", "a.b\\007cluster.local"])
def test_a_denial_stands_behind_a_name_outside_its_zone_too(name: str) -> None:
    """A rewritten question is not in the zone; the SOA's owner is then spelled out."""
    denial = ZoneDenial(ZONE, SOA, rcode=records.NXDOMAIN)
    parsed = dns.message.from_wire(reply(ask(name), denial, 1232))
    assert parsed.authority[0].name.to_text() == "cluster.local."


def test_an_answer_memoised_for_one_name_is_rendered_anew_for_another() -> None:
    question = ask("a.example")
    answer = Answer(addresses(question, 1))
    reply(question, answer, 1232)
    parsed = dns.message.from_wire(reply(ask("longer.name.example"), answer, 1232))
    assert parsed.answer[0].name.to_text() == "a.example."


def test_a_target_repeats_the_letters_of_the_question() -> None:
    target = names.from_text("web.shop.svc.cluster.local")
    for zone in ("cluster.local", "CLUSTER.Local"):
        question = ask(f"_http._tcp.web.shop.svc.{zone}", "SRV")
        answer = SRV_ANSWERS.setdefault(
            question.qname, Answer((records.srv(question.qname, 100, 80, target, 5),))
        )
        parsed = dns.message.from_wire(reply(question, answer, 1232))
        assert parsed.answer[0][0].target.to_text() == f"web.shop.svc.{zone}."


SRV_ANSWERS: dict[bytes, Answer] = {}


class TestSize:
    """Truncation keeps whole records and says so."""

    @pytest.mark.parametrize(
        ("edns", "limit", "kept"),
        [
            ({}, 512, 29),
            ({"payload": 100}, 512, 28),
            ({"payload": 1232}, 1232, 73),
            ({"payload": 4096}, 1232, 73),
        ],
    )
    def test_udp_replies_fit_both_sides(
        self, edns: dict[str, object], limit: int, kept: int
    ) -> None:
        question = ask("crowd.big.svc.cluster.local", **edns)
        wire = reply(question, Answer(addresses(question, 300)), 1232)
        parsed = dns.message.from_wire(wire)
        assert len(wire) <= limit
        assert parsed.flags & dns.flags.TC
        assert len(parsed.answer[0]) == kept
        assert (parsed.edns == 0) == bool(edns)

    def test_a_reply_that_just_fits_is_whole(self) -> None:
        question = ask("crowd.big.svc.cluster.local")
        parsed = dns.message.from_wire(reply(question, Answer(addresses(question, 29)), 1232))
        assert not parsed.flags & dns.flags.TC
        assert len(parsed.answer[0]) == 29

    def test_losing_additional_records_sets_tc(self) -> None:
        question = ask("crowd.big.svc.cluster.local")
        answer = Answer(addresses(question, 1), additional=addresses(question, 60))
        parsed = dns.message.from_wire(reply(question, answer, 1232))
        assert parsed.flags & dns.flags.TC
        assert len(parsed.answer[0]) == 1

    def test_streams_carry_everything(self) -> None:
        question = ask("crowd.big.svc.cluster.local")
        question.is_stream = True
        parsed = dns.message.from_wire(reply(question, Answer(addresses(question, 2000)), 1232))
        assert not parsed.flags & dns.flags.TC
        assert len(parsed.answer[0]) == 2000

    def test_streams_end_at_65535_octets(self) -> None:
        question = ask("crowd.big.svc.cluster.local")
        question.is_stream = True
        wire = reply(question, Answer(addresses(question, 6000)), 1232)
        assert len(wire) <= 65535
        assert dns.message.from_wire(wire).flags & dns.flags.TC


class TestRotation:
    """Any of the addresses may come first; the rest of the reply stays."""

    @pytest.mark.parametrize("first", range(4))
    def test_addresses_begin_where_the_rotation_says(self, first: int) -> None:
        question = ask("web.shop.svc.cluster.local")
        answer = Answer(addresses(question, 4), (SOA,))
        parsed = dns.message.from_wire(
            reply(question, answer, 1232, Always(first)), one_rr_per_rrset=True
        )
        order = [rrset[0].address for rrset in parsed.answer]
        assert order == [f"10.1.0.{(first + n) % 4}" for n in range(4)]
        assert parsed.authority[0].rdtype == dns.rdatatype.SOA

    def test_an_alias_stays_in_front(self) -> None:
        question = ask("alias.example")
        target = names.from_text("target.example")
        alias = Record(question.qname, records.CNAME, 5, target)
        found = tuple(records.address(target, f"10.0.0.{n}", 5) for n in range(3))
        wire = reply(question, Answer((alias, *found)), 1232, Always(2))
        parsed = dns.message.from_wire(wire, one_rr_per_rrset=True)
        assert [rrset.rdtype for rrset in parsed.answer] == [5, 1, 1, 1]
        assert parsed.answer[1][0].address == "10.0.0.2"
        assert {rrset.name.to_text() for rrset in parsed.answer[1:]} == {"target.example."}

    def test_owners_that_are_spelled_out_do_not_move(self) -> None:
        """The second owner points at the first one, which must stay in front of it."""
        question = ask("q.example")
        other = names.from_text("other.test")
        found = tuple(records.address(other, f"10.0.0.{n}", 5) for n in range(3))
        wire = reply(question, Answer(found), 1232, Always(1))
        assert dns.message.from_wire(wire).answer[0].name.to_text() == "other.test."

    def test_truncation_keeps_the_leading_ones_after_rotation(self) -> None:
        question = ask("crowd.big.svc.cluster.local")
        wire = reply(question, Answer(addresses(question, 100)), 1232, Always(90))
        parsed = dns.message.from_wire(wire, one_rr_per_rrset=True)
        assert [rrset[0].address for rrset in parsed.answer][:11] == [
            *(f"10.1.0.{n}" for n in range(90, 100)),
            "10.1.0.0",
        ]


class TestEdns:
    """OPT goes to those who sent one."""

    def test_nobody_else_gets_one(self) -> None:
        question = ask("a.example")
        answer = Answer(rcode=2, options=(extended_error(14, "not yet"),))
        assert dns.message.from_wire(reply(question, answer, 1232)).edns == -1

    def test_extended_errors_reach_clients_with_edns(self) -> None:
        question = ask("a.example", payload=1232)
        answer = Answer(rcode=2, options=(extended_error(14, "not yet"),))
        parsed = dns.message.from_wire(reply(question, answer, 1232))
        assert parsed.options[0].code == 14
        assert parsed.options[0].text == "not yet"

    def test_a_long_rcode_needs_the_opt(self) -> None:
        answer = Answer(rcode=23)
        with_opt = dns.message.from_wire(reply(ask("a.example", payload=1232), answer, 1232))
        without = dns.message.from_wire(reply(ask("a.example"), answer, 1232))
        assert (with_opt.rcode(), without.rcode()) == (23, records.SERVFAIL)

    def test_options_are_not_echoed(self) -> None:
        query = dns.message.make_query("a.example", "A")
        query.use_edns(0, options=[dns.edns.GenericOption(10, b"12345678")])
        question = read(query.to_wire())
        assert isinstance(question, Question)
        assert dns.message.from_wire(reply(question, Answer(), 1232)).options == ()
        assert dns.message.from_wire(bare_reply(question, 5, 1232)).options == ()


@given(wire_names(), sections(), sections(), sections(), st.integers(0, 5))
def test_what_is_written_is_read_back_the_same(
    qname: bytes,
    answer: tuple[Record, ...],
    authority: tuple[Record, ...],
    additional: tuple[Record, ...],
    first: int,
) -> None:
    """Law 2: our reader and dnspython read the records that were written."""
    question = read(
        b"\x00\x07" + b"\x01\x00" + b"\x00\x01" + bytes(6) + qname + b"\x00\x01\x00\x01"
    )
    assert isinstance(question, Question)
    question.is_stream = True
    wire = reply(question, Answer(answer, authority, additional), 1232, Always(first))
    read_back = messages.parse(wire)
    assert sorted(map(folded, read_back.answer)) == sorted(map(folded, answer))
    assert [*map(folded, read_back.authority)] == [*map(folded, authority)]
    assert [*map(folded, read_back.additional)] == [*map(folded, additional)]
    theirs = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert len(theirs.answer) == len(answer)
    assert {rrset.name.to_wire().lower() for rrset in theirs.answer} == {
        record.owner.lower() for record in answer
    }


def folded(record: Record) -> Record:
    """Names may come back in the letters of an equal name that stands before them."""
    has_names = record.rtype in records.NAMES_IN_RDATA
    rdata = record.rdata.lower() if has_names else record.rdata
    return record._replace(owner=record.owner.lower(), rdata=rdata)


@given(wire_names(), st.integers(0, 200), st.integers(0, 65535), st.booleans(), st.integers(0, 300))
def test_a_reply_never_exceeds_its_limit(
    qname: bytes, count: int, size: int, with_opt: bool, first: int
) -> None:
    """Law 1: whatever is asked, the reply fits and an independent parser reads it."""
    opt = b"\x00\x00\x29" + size.to_bytes(2, "big") + bytes(6) if with_opt else b""
    header = b"\x00\x07\x01\x00\x00\x01" + bytes(5) + bytes((with_opt,))
    question = read(header + qname + b"\x00\x01\x00\x01" + opt)
    assert isinstance(question, Question)
    wire = reply(question, Answer(addresses(question, count)), 1232, Always(first))
    limit = min(max(512, size), 1232) if with_opt else 512
    assert len(wire) <= limit
    parsed = dns.message.from_wire(wire)
    got = len(parsed.answer[0]) if parsed.answer else 0
    assert bool(parsed.flags & dns.flags.TC) == (got < count)
