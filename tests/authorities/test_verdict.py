"""What replies amount to: CoreDNS's classes."""

from __future__ import annotations

import pytest

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.verdict import class_of, verdict
from k8sdns.records import Record

NAME = names.from_text("example.org")
A = records.address(NAME, "192.0.2.1", 5)
SOA = records.soa(NAME, NAME, NAME, (1, 2, 3, 4, 5), 5)
NS = Record(NAME, records.NS, 5, NAME)


@pytest.mark.parametrize(
    ("answer", "qtype", "kind", "group"),
    [
        (Answer((A,)), records.A, "NOERROR", "success"),
        (Answer(additional=(A,)), records.A, "NOERROR", "success"),
        (Answer(authority=(NS,)), records.A, "DELEGATION", "success"),
        (Answer(authority=(NS, SOA)), records.A, "NODATA", "denial"),
        (Answer(rcode=3), records.A, "NXDOMAIN", "denial"),
        (Answer((A,), rcode=3), records.A, "OTHERERROR", "error"),
        (Answer(rcode=2), records.A, "SERVERERROR", "error"),
        (Answer(rcode=4), records.A, "SERVERERROR", "error"),
        (Answer(rcode=5), records.A, "OTHERERROR", "error"),
        (Answer((SOA,)), records.AXFR, "META", "error"),
    ],
)
def test_each_reply_has_one_verdict(answer, qtype, kind, group):
    found = verdict(Question(NAME, qtype), answer)
    assert (found, class_of(found)) == (kind, group)
