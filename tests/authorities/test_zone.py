"""What exists in a zone, and which records make none."""

from __future__ import annotations

import pytest

from k8sdns import names, records
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.zone import Zone, ZoneError

ORIGIN = names.from_text("example.org")
SOA = "example.org. 3600 IN SOA ns1.example.org. admin.example.org. 7 7200 3600 1209600 600"
NS = "example.org. 3600 IN NS ns1.example.org."


def zone_of(*texts: str, origin: bytes = ORIGIN) -> Zone:
    return Zone(origin, [record_from_text(text) for text in texts])


def test_names_between_an_owner_and_the_apex_exist_without_records():
    zone = zone_of(SOA, NS, "a.b.c.example.org. 1 A 192.0.2.1")
    assert not zone.nodes[names.from_text("b.c.example.org")].sets
    assert not zone.nodes[names.from_text("c.example.org")].sets
    assert names.from_text("org") not in zone.nodes


def test_owners_keep_their_letters_and_are_found_without_them():
    zone = zone_of(SOA, NS, "WwW.Example.ORG. 1 A 192.0.2.1")
    (record,) = zone.nodes[names.from_text("www.example.org")].sets[records.A]
    assert record.owner == names.from_text("WwW.Example.ORG", lower=False)


def test_a_record_given_twice_counts_once_and_a_set_has_its_lowest_ttl():
    zone = zone_of(
        SOA, SOA, NS, "example.org. 300 IN NS NS1.example.org.",
        "x.example.org. 60 A 192.0.2.1", "x.example.org. 30 A 192.0.2.2",
    )  # fmt: skip
    assert len(zone.ns) == 1
    assert [r.ttl for r in zone.nodes[names.from_text("x.example.org")].sets[records.A]] == [30, 30]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([NS], "no SOA record for origin example.org."),
        ([SOA, SOA.replace(" 7 ", " 8 ")], "2 different SOA"),
        ([SOA, "example.com. 1 A 192.0.2.1"], "example.com. is not in the zone example.org."),
        ([SOA, "xexample.org. 1 A 192.0.2.1"], "not in the zone"),
    ],
)
def test_records_that_make_no_zone_are_refused(texts, message):
    with pytest.raises(ZoneError, match=message):
        zone_of(*texts)


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        ([SOA], "has no NS record"),
        (
            [SOA, NS, "x.example.org. 1 CNAME a.", "x.example.org. 1 A 192.0.2.1"],
            "x.example.org. has a CNAME and other records",
        ),
        (
            [SOA, NS, "x.example.org. 1 CNAME a.", "x.example.org. 1 CNAME b."],
            "has 2 CNAME records",
        ),
    ],
)
def test_faults_that_can_be_served_are_named(texts, fault):
    assert any(fault in said for said in zone_of(*texts).faults())


def test_iteration_gives_every_record_once_the_soa_first():
    texts = [NS, "a.example.org. 1 A 192.0.2.1", SOA, "example.org. 5 A 192.0.2.9"]
    zone = zone_of(*texts)
    listed = list(zone)
    assert listed[0].rtype == records.SOA
    assert sorted(listed) == sorted(record_from_text(text) for text in texts)
    assert zone.size == len(texts)
    assert zone.serial == 7
