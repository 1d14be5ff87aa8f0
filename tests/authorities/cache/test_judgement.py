"""What may be kept, by the octets of an answer."""

from __future__ import annotations

import struct

import pytest

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.cache.judgement import Keep, has_dead_signature, judge, least_ttl_of
from k8sdns.authorities.cache.settings import CacheSettings, Shelf
from k8sdns.authorities.rendered import ttl_places
from k8sdns.records import Record

WWW = names.from_text("www.example.com")
ZONE = names.from_text("example.com")
SOA = records.soa(ZONE, ZONE, ZONE, (1, 2, 3, 4, 5), 40)
NS = Record(ZONE, records.NS, 90, ZONE)
ADDRESS = records.address(WWW, "192.0.2.1", 60)
OTHER = records.address(ZONE, "192.0.2.2", 60)
ALIAS = Record(WWW, records.CNAME, 60, ZONE)
LOOP = Record(ZONE, records.CNAME, 60, WWW)


DEFAULTS = CacheSettings()


def judged(answer, qtype=records.A, settings=DEFAULTS):
    question = Question(WWW, qtype)
    rendered = answer.rendered(question)
    places = ttl_places(rendered)
    least = least_ttl_of(rendered.body, places)
    return judge(question, answer, rendered, places, least, settings)


@pytest.mark.parametrize(
    ("answer", "keep", "ttl"),
    [
        (Answer((ADDRESS,)), Keep.SUCCESS, 60),
        (Answer((ADDRESS,), (NS,), (OTHER,)), Keep.SUCCESS, 60),
        (Answer((ALIAS, OTHER)), Keep.SUCCESS, 60),
        (Answer((OTHER, ALIAS)), Keep.SUCCESS, 60),
        (Answer((ALIAS,)), Keep.STRAY, 60),
        (Answer((ALIAS,), (SOA,)), Keep.DENIAL, 40),
        (Answer((ALIAS, LOOP)), Keep.STRAY, 60),
        (Answer((OTHER,)), Keep.STRAY, 60),
        (Answer(authority=(SOA,)), Keep.DENIAL, 40),
        (Answer(authority=(NS,)), Keep.SUCCESS, 5),
        (Answer(), Keep.SUCCESS, 5),
        (Answer(additional=(ADDRESS,)), Keep.SUCCESS, 60),
        (Answer(authority=(SOA,), rcode=records.NXDOMAIN), Keep.DENIAL, 40),
        (Answer(rcode=records.NXDOMAIN), Keep.NOT, 3600),
        (Answer((ALIAS,), (SOA,), rcode=records.NXDOMAIN), Keep.NOT, 40),
        (Answer(rcode=records.SERVFAIL), Keep.FAILURE, 5),
        (Answer(rcode=records.NOTIMP), Keep.FAILURE, 5),
        (Answer(rcode=records.REFUSED), Keep.NOT, 5),
        (Answer(rcode=records.FORMERR), Keep.NOT, 5),
        (Answer((ADDRESS,), tc=True), Keep.NOT, 60),
    ],
)
def test_classes(answer, keep, ttl):
    assert judged(answer) == (keep, ttl)


def test_any_is_answered_by_anything_and_transfers_are_never_kept():
    assert judged(Answer((OTHER,)), records.ANY)[0] is Keep.SUCCESS
    for qtype in (records.AXFR, records.IXFR):
        assert judged(Answer((SOA,)), qtype)[0] is Keep.NOT


def test_limits_are_those_of_the_class():
    settings = CacheSettings(
        success=Shelf(max_ttl=50, min_ttl=20), denial=Shelf(max_ttl=30, min_ttl=10)
    )
    assert judged(Answer((ADDRESS,)), settings=settings)[1] == 50
    assert judged(Answer(authority=(SOA,)), settings=settings)[1] == 30
    assert judged(Answer(authority=(NS,)), settings=settings)[1] == 20


def test_a_ttl_of_nothing_is_not_kept_where_there_is_no_floor():
    settings = CacheSettings(success=Shelf(min_ttl=0))
    assert judged(Answer((ADDRESS._replace(ttl=0),)), settings=settings)[0] is Keep.NOT


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("begins", "expires", "is_dead"),
    [
        (NOW - 100, NOW + 100, False),
        (NOW - 100, NOW - 1, True),
        (NOW + 1, NOW + 100, True),
        (NOW, NOW, False),
    ],
)
def test_signatures_out_of_their_time_are_seen(begins, expires, is_dead):
    rdata = struct.pack("!HBBIIIH", 1, 8, 2, 60, expires, begins, 7) + ZONE + b"signature"
    answer = Answer((ADDRESS, Record(WWW, records.RRSIG, 60, rdata)))
    rendered = answer.rendered(Question(WWW))
    assert has_dead_signature(rendered.body, ttl_places(rendered), NOW) is is_dead
