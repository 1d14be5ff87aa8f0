"""How large an answer is without compression: what the response size metric says."""

from __future__ import annotations

from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Answer, Question, nodata
from k8sdns.authorities.rendered import RenderedAnswer, uncompressed
from k8sdns.records import Record

NAMES = [names.from_text(text) for text in ("a.b.example.", "b.example.", "other.test.", ".")]
QNAME = NAMES[0]


@st.composite
def some_records(draw) -> Record:
    owner, target = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    kind, rdata = draw(
        st.sampled_from(
            [
                (records.A, b"\x7f\x00\x00\x01"),
                (records.CNAME, target),
                (records.MX, b"\x00\x05" + target),
                (records.SOA, target + owner + bytes(20)),
                (records.SRV, bytes(6) + target),
                (records.TXT, b"\x03abc"),
            ]
        )
    )
    return Record(owner, kind, 5, rdata)


SECTION = st.lists(some_records(), max_size=4).map(tuple)


@given(SECTION, SECTION, SECTION)
def test_the_size_is_that_of_every_name_spelled_out(answer, authority, additional) -> None:
    question = Question(QNAME)
    made = Answer(answer, authority, additional)
    records_octets = sum(
        len(each.owner) + 10 + len(each.rdata) for each in (*answer, *authority, *additional)
    )
    assert made.uncompressed_size(question) == 12 + len(QNAME) + 4 + records_octets
    assert made.uncompressed_size(question) == made.uncompressed_size(question)


@given(SECTION, SECTION, SECTION)
def test_octets_alone_say_the_same_size(answer, authority, additional) -> None:
    """An answer from an upstream is measured without decoding it."""
    question = Question(QNAME)
    rendered = Answer(answer, authority, additional).rendered(question)
    expected = Answer(answer, authority, additional).measured()
    assert uncompressed(rendered) == expected
    spliced = RenderedAnswer(rendered, 0, 0)
    assert spliced.uncompressed_size(question) == 12 + len(question.wire) + expected


def test_an_empty_answer_is_header_and_question() -> None:
    question = Question(QNAME)
    assert nodata().uncompressed_size(question) == 12 + len(question.wire)
