"""``any``: one HINFO record to type ANY, nothing to other types."""

from __future__ import annotations

COREFILE = "example.org:53 {\nany\nwhoami\n}"


def test_any_gets_one_hinfo_record(serve):
    found = serve(COREFILE).ask("Www.example.org", "ANY")
    assert [rrset.to_text() for rrset in found.answer] == [
        'Www.example.org. 8482 IN HINFO "ANY obsoleted" "See RFC 8482"'
    ]
    assert not found.additional
    assert found.flags & 0x0400 == 0


def test_other_types_pass(serve):
    found = serve(COREFILE).ask("www.example.org", "A")
    assert not found.answer
    assert found.additional
