"""``header``: flags of queries and replies are set and cleared, rule after rule."""

from __future__ import annotations

import dns.flags
import pytest

from k8sdns.answers import AA, RA, RD, Answer, Question
from k8sdns.directives.header import Change, HeaderFlags
from k8sdns.errors import CorefileError


def test_flags_of_replies(serve):
    rules = "response set ra\nresponse clear aa"
    found = serve(f". {{\nheader {{\n{rules}\n}}\nwhoami\n}}").ask("example.org")
    assert found.flags & dns.flags.RA
    assert not found.flags & dns.flags.AA
    assert found.flags & dns.flags.RD
    assert found.additional


def test_the_last_rule_counts(serve):
    rules = "response clear aa ra\nresponse set aa"
    assert serve(f". {{\nheader {{\n{rules}\n}}\nwhoami\n}}").ask("example.org").flags & AA


def test_flags_of_queries_change_below_and_the_client_sees_its_own():
    asked = []

    def rest(question):
        asked.append(question)
        return Answer()

    stage = HeaderFlags([Change(keep=~RD & 0xFFFF), Change(put=RA)], [])
    question = Question(flags=RD)
    stage.respond(question, rest)
    assert asked[0].flags == RA
    assert question.flags == RD


def test_the_answer_of_others_is_not_touched():
    shared = Answer(aa=True)
    shared.is_current = True
    found = HeaderFlags([], [Change(put=RA)]).respond(Question(), lambda _: shared)
    assert (found.aa, found.ra, found.is_current) == (True, True, False)
    assert (shared.ra, shared.is_current) == (False, True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("response set", "Wrong argument count"),
        ("response flip aa", "unknown flag action=flip"),
        ("query set zz", "unknown/unsupported flag=zz"),
        ("answer set aa", "unknown property 'answer'"),
    ],
)
def test_mistakes_name_their_line(checked, line, says):
    with pytest.raises(CorefileError, match=says) as caught:
        checked(f". {{\nheader {{\n{line}\n}}\n}}")
    assert caught.value.line == 3


def test_rules_are_needed(checked):
    with pytest.raises(CorefileError, match="at least one rule"):
        checked(". {\nheader\n}")
