"""Zones in a server block: choice, fallthrough, aliases to the outside, transfers."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Edns, Question, failed
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.zone import Zone
from k8sdns.authorities.zoneauthority import Served, ZoneAuthority
from k8sdns.authorities.zonelookup import MAX_ALIASES, ZoneAnswers
from k8sdns.errors import NoNextAuthority, Refused, ServerFailure


class Source:
    """A zone that never changes, or none yet."""

    def __init__(self, *lines, origin="example.org"):
        self.trouble = "" if lines else "no such file"
        self.answers = None
        if lines:
            soa = f"{origin}. 60 SOA ns. admin. 7 7200 3600 1209600 600"
            texts = [soa, f"{origin}. 60 NS ns.", *lines]
            zone = Zone(names.from_text(origin), [record_from_text(text) for text in texts])
            self.answers = ZoneAnswers(zone, "file")


class Elsewhere:
    """The rest of the server: knows one answer."""

    def __init__(self, answer):
        self.result = answer
        self.asked = []

    def lookup(self, question, qname, qtype):
        self.asked.append((names.to_text(qname), qtype))
        return self.result


def ask(authority, text, qtype=records.A, **fields):
    question = Question(names.from_text(text, lower=False), qtype)
    for name, value in fields.items():
        setattr(question, name, value)
    return authority.answer(question)


def authority(*lines, fallthrough=(), lookup=None):
    made = ZoneAuthority("file", lookup)
    made.serve({names.from_text("example.org"): Served(Source(*lines), fallthrough)})
    return made


def test_the_longest_zone_answers_and_other_names_are_not_ours():
    made = ZoneAuthority("file")
    made.serve(
        {
            names.from_text("example.org"): Served(Source("a.sub.example.org. 60 A 192.0.2.1")),
            names.from_text("sub.example.org"): Served(
                Source("a.sub.example.org. 60 A 192.0.2.2", origin="sub.example.org")
            ),
        }
    )
    assert ask(made, "A.sub.example.org").answer[0].rdata == b"\xc0\x00\x02\x02"
    assert ask(made, "example.com") is None
    assert ask(made, "xexample.org") is None
    assert ask(made, "example.org", qclass=records.CH) is None


@pytest.mark.parametrize(
    ("fallthrough", "qname", "passes"),
    [
        ((), "none.example.org", False),
        (("."), "none.example.org", True),
        (("."), "ent.example.org", True),
        (("."), "web.example.org", False),
        (("in.example.org",), "none.example.org", False),
        (("in.example.org",), "x.in.example.org", True),
    ],
)
def test_only_missing_names_of_the_given_zones_fall_through(fallthrough, qname, passes):
    zones = tuple(names.from_text(zone) for zone in fallthrough)
    made = authority(
        "web.example.org. 60 A 192.0.2.1", "x.ent.example.org. 60 A 192.0.2.1", fallthrough=zones
    )
    assert (ask(made, qname, records.TXT) is None) is passes


@pytest.mark.parametrize("qtype", [records.AXFR, records.IXFR])
def test_transfers_are_not_answered_here(qtype):
    with pytest.raises(Refused):
        ask(authority("a.example.org. 60 A 192.0.2.1"), "example.org", qtype)


def test_a_zone_that_is_not_there_is_a_failure_that_says_why():
    with pytest.raises(ServerFailure, match=r"example.org. is not loaded: no such file") as caught:
        ask(authority(), "a.example.org")
    assert caught.value.ede[0] == 14


ALIAS = "ext.example.org. 60 CNAME www.example.com."
FOUND = record_from_text("www.example.com. 5 A 192.0.2.53")


def test_an_alias_is_followed_through_the_whole_server():
    elsewhere = Elsewhere(Answer((FOUND,), ra=True))
    answer = ask(authority(ALIAS, lookup=elsewhere), "ext.example.org")
    assert [r.rtype for r in answer.answer] == [records.CNAME, records.A]
    assert [r.rtype for r in answer.authority] == [records.NS]
    assert (answer.rcode, answer.aa, answer.source) == (records.NOERROR, True, "file")
    assert elsewhere.asked == [("www.example.com.", records.A)]


def test_what_is_found_later_is_answered_later():
    waiting = Deferred()
    result = ask(authority(ALIAS, lookup=Elsewhere(waiting)), "ext.example.org")
    got = []
    result.addCallback(got.append)
    assert got == []
    waiting.callback(Answer((FOUND,)))
    assert len(got[0].answer) == 2


@pytest.mark.parametrize(
    ("beyond", "rcode", "authority_types"),
    [
        (Answer(rcode=records.NXDOMAIN), records.NXDOMAIN, [records.SOA]),
        (Answer(), records.NOERROR, [records.NS]),
        (Answer(rcode=records.REFUSED), records.NOERROR, [records.NS]),
        (failed(NoNextAuthority("")), records.NOERROR, [records.NS]),
        (failed(ServerFailure("timed out")), records.SERVFAIL, [records.NS]),
    ],
)
def test_what_becomes_of_an_alias_whose_target_is_not_found(beyond, rcode, authority_types):
    answer = ask(authority(ALIAS, lookup=Elsewhere(beyond)), "ext.example.org")
    assert [r.rtype for r in answer.answer] == [records.CNAME]
    assert (answer.rcode, answer.aa) == (rcode, True)
    assert [r.rtype for r in answer.authority] == authority_types


def test_aliases_between_zones_are_followed_a_bounded_number_of_times():
    elsewhere = Elsewhere(Answer((FOUND,)))
    made = authority(ALIAS, lookup=elsewhere)
    assert len(ask(made, "ext.example.org", depth=MAX_ALIASES).answer) == 1
    assert len(ask(authority(ALIAS), "ext.example.org").answer) == 1
    assert elsewhere.asked == []


def test_signatures_are_given_to_those_who_ask():
    line = "a.example.org. 60 RRSIG A 8 3 60 20300101000000 20200101000000 1 example.org. AAAA"
    made = authority("a.example.org. 60 A 192.0.2.1", line)
    assert len(ask(made, "a.example.org").answer) == 1
    assert len(ask(made, "a.example.org", edns=Edns(1232, do=True)).answer) == 2


def test_the_zones_can_be_transferred():
    made = authority("a.example.org. 60 A 192.0.2.1")
    zone = names.from_text("example.org")
    assert made.zones() == (zone,)
    assert made.zone_serial(zone) == 7
    assert made.zone_serial(names.from_text("a.example.org")) is None
    types = [record.rtype for record in made.zone_records(zone)]
    assert types == [records.SOA, records.NS, records.A, records.SOA]
    assert list(made.zone_records(names.from_text("example.com"))) == []
