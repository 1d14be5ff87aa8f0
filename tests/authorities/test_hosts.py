"""hosts: lines, tables, answers, reverse answers, files that change."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from twisted.internet.task import Clock

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities import polling
from k8sdns.authorities.hosts import HostsAuthority, HostsFile, HostsTable, packed

ORG = (names.from_text("example.org"),)
TEXT = """
# hosts of the test
192.0.2.11   example.org www.example.org
192.0.2.12   www.example.org    # second address
2001:db8::12 www.example.org v6.example.org
192.0.2.13   MiXeD.Example.org
192.0.2.14   *.apps.example.org
192.0.2.19   fixed.apps.example.org
::ffff:192.0.2.15 mapped.example.org
fe80::1%eth0 scoped.example.org
192.0.2.16
not-an-address broken.example.org
192.0.2.17   outside.example.com bad..name.example.org
"""


def hosts(tmp_path, text=TEXT, *, zones=ORG, inline=(), clock=None, **options):
    path = tmp_path / "hosts"
    if text is not None:
        path.write_text(text)
    source = HostsFile(str(path), clock or Clock(), zones=zones, inline=inline)
    source.load()
    source.startService()
    return HostsAuthority(source, **options)


def ask(authority, text, qtype="A", qclass=records.IN):
    return authority.answer(
        Question(names.from_text(text, lower=False), records.TYPES[qtype], qclass)
    )


def rdata(answer):
    return [records.rdata_text(record) for record in answer.answer]


@pytest.mark.parametrize(
    ("qname", "qtype", "expected"),
    [
        ("www.example.org", "A", ["192.0.2.11", "192.0.2.12"]),
        ("www.example.org", "AAAA", ["2001:db8::12"]),
        ("example.org", "A", ["192.0.2.11"]),
        ("MIXED.example.ORG", "A", ["192.0.2.13"]),
        ("mapped.example.org", "A", ["192.0.2.15"]),
        ("scoped.example.org", "AAAA", ["fe80::1"]),
        ("x.apps.example.org", "A", ["192.0.2.14"]),
        ("fixed.apps.example.org", "A", ["192.0.2.19"]),
        ("11.2.0.192.in-addr.arpa", "PTR", ["example.org.", "www.example.org."]),
        (names.to_text(names.reverse_name("2001:db8::12")), "PTR",
         ["www.example.org.", "v6.example.org."]),
    ],
)  # fmt: skip
def test_what_the_lines_say_is_answered_in_their_order(tmp_path, qname, qtype, expected):
    authority = hosts(tmp_path)
    for _ in range(2):  # made, and remembered
        answer = ask(authority, qname, qtype)
        assert rdata(answer) == expected
        assert (answer.rcode, answer.aa, answer.source) == (records.NOERROR, True, "hosts")
        assert {record.ttl for record in answer.answer} == {3600}
        assert answer.authority == answer.additional == ()


@pytest.mark.parametrize("qname", ["v6.example.org", "y.apps.example.org"])
@pytest.mark.parametrize("qtype", ["TXT", "MX"])
def test_other_types_of_a_known_name_are_empty_without_soa(tmp_path, qname, qtype):
    answer = ask(hosts(tmp_path, fallthrough=(names.ROOT,)), qname, qtype)
    assert (answer.rcode, answer.aa, answer.answer, answer.authority) == (0, True, (), ())


def test_other_families_do_not_fall_through_but_unsupported_types_may(tmp_path):
    authority = hosts(tmp_path, fallthrough=(names.ROOT,), unsupported_fall_through=True)
    assert ask(authority, "v6.example.org", "A").answer == ()
    assert ask(authority, "v6.example.org", "TXT") is None


@pytest.mark.parametrize(
    "qname",
    ["missing.example.org", "broken.example.org", "a.b.apps.example.org", "apps.example.org"],
)
def test_unknown_names_fail_or_fall_through(tmp_path, qname):
    failure = ask(hosts(tmp_path), qname)
    assert (failure.rcode, failure.aa, failure.error) == (records.SERVFAIL, False, None)
    assert ask(hosts(tmp_path, fallthrough=ORG), qname) is None
    assert ask(hosts(tmp_path, fallthrough=(names.from_text("x.org"),)), qname) is not None


def test_names_outside_the_zones_are_neither_read_nor_answered(tmp_path):
    authority = hosts(tmp_path)
    assert ask(authority, "outside.example.com") is None
    assert ask(authority, "17.2.0.192.in-addr.arpa", "PTR") is None
    assert ask(authority, "www.example.org", qclass=records.CH) is None


def test_reverse_answers_can_be_switched_off_and_unknown_ones_go_on(tmp_path):
    assert ask(hosts(tmp_path, has_reverse=False), "11.2.0.192.in-addr.arpa", "PTR") is None
    authority = hosts(tmp_path, zones=(names.ROOT,))
    assert ask(authority, "99.2.0.192.in-addr.arpa", "PTR") is None
    assert ask(authority, "14.2.0.192.in-addr.arpa", "PTR") is None  # a wildcard's
    assert ask(authority, "www.example.org", "PTR") is None


def test_inline_lines_come_after_those_of_the_file(tmp_path):
    authority = hosts(tmp_path, inline=("192.0.2.99 www.example.org new.example.org",), ttl=60)
    answer = ask(authority, "www.example.org")
    assert rdata(answer) == ["192.0.2.11", "192.0.2.12", "192.0.2.99"]
    assert answer.answer[0].ttl == 60
    assert rdata(ask(authority, "new.example.org")) == ["192.0.2.99"]


def test_a_file_that_changes_is_read_again(tmp_path):
    clock = Clock()
    authority = hosts(tmp_path, clock=clock)
    assert rdata(ask(authority, "example.org")) == ["192.0.2.11"]
    (tmp_path / "hosts").write_text("192.0.2.77 example.org\n")
    clock.advance(4.9)
    assert rdata(ask(authority, "example.org")) == ["192.0.2.11"]
    clock.advance(0.1)
    assert rdata(ask(authority, "example.org")) == ["192.0.2.77"]
    assert authority.source.entries == 1
    (tmp_path / "hosts").unlink()
    clock.advance(5)
    assert rdata(ask(authority, "example.org")) == ["192.0.2.77"]
    authority.source.stopService()
    assert clock.getDelayedCalls() == []


def test_a_missing_file_is_empty_and_picked_up_later(tmp_path):
    clock = Clock()
    authority = hosts(tmp_path, None, inline=("192.0.2.1 in.example.org",), clock=clock)
    assert rdata(ask(authority, "in.example.org")) == ["192.0.2.1"]
    (tmp_path / "hosts").write_text("192.0.2.77 example.org\n")
    clock.advance(5)
    assert rdata(ask(authority, "example.org")) == ["192.0.2.77"]
    assert rdata(ask(authority, "in.example.org")) == ["192.0.2.1"]
    assert authority.source.modified_at > 0


def test_a_large_file_is_read_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(polling, "LARGE", 100)
    clock = Clock()
    authority = hosts(tmp_path, "192.0.2.1 a.example.org\n" * 100, clock=clock)
    assert authority.source.entries == 0
    clock.pump([0] * 5)
    assert authority.source.entries == 100


def test_a_flood_of_names_below_a_wildcard_costs_no_memory(tmp_path):
    authority = hosts(tmp_path)
    for n in range(100):
        assert ask(authority, f"n{n}.apps.example.org").answer
    assert not authority._known


@given(st.text(alphabet="0123456789abcdef.:%#* \\\tx\x00é", max_size=60))
def test_no_line_is_an_exception(line):
    HostsTable().add(line, (names.ROOT,))


@pytest.mark.parametrize(
    ("text", "octets"),
    [("192.0.2.1", 4), ("::1", 16), ("::ffff:192.0.2.1", 4), ("1.2.3", None), ("1.2.3.04", None)],
)
def test_addresses_are_as_strict_as_go_reads_them(text, octets):
    found = packed(text)
    assert (len(found) if found else None) == octets
