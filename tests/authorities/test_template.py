"""template: which template answers, what it is given, what becomes of its texts."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.expressionfunctions import BOOL, NUMBER, TEXT
from k8sdns.authorities.expressions import Expression
from k8sdns.authorities.gotemplate import GoTemplate
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.template import FIELDS, Template, TemplateAuthority
from k8sdns.corefile.goregex import GoRegex
from k8sdns.errors import ServerFailure

ROOT = (names.ROOT,)


def template(rtype="A", zone="ip.example", *, match=(), rclass="IN", **options):
    for section in ("answer", "authority", "additional"):
        texts = options.get(section, ())
        texts = (texts,) if isinstance(texts, str) else texts
        options[section] = tuple(GoTemplate(text, FIELDS) for text in texts)
    patterns = tuple(GoRegex(text) for text in ([match] if isinstance(match, str) else match))
    return Template(
        records.CLASSES[rclass],
        records.TYPES[rtype],
        (names.from_text(zone),) if isinstance(zone, str) else zone,
        patterns,
        **options,
    )


def ask(made, text, qtype="A", qclass="IN", **fields):
    question = Question(
        names.from_text(text, lower=False), records.TYPES[qtype], records.CLASSES[qclass]
    )
    for name, value in fields.items():
        setattr(question, name, value)
    return made.answer(question)


def said(section):
    return [
        f"{names.to_text(record.owner)} {record.ttl} {records.class_name(record.rclass)} "
        f"{records.type_name(record.rtype)} {records.rdata_text(record)}"
        for record in section
    ]


IP = template(
    match=r"^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)-(?P<c>[0-9]+)-(?P<d>[0-9]+)[.]ip[.]example[.]$",
    answer="{{ .Name }} 60 IN A {{ .Group.a }}.{{ .Group.b }}.{{ .Group.c }}.{{ .Group.d }}",
    fallthrough=ROOT,
)


@pytest.mark.parametrize("qname", ["ip-10-1-2-3.ip.example", "IP-10-1-2-3.ip.EXAMPLE"])
def test_groups_of_the_lower_case_name_fill_the_template(qname):
    answer = ask(TemplateAuthority([IP]), qname)
    assert said(answer.answer) == ["ip-10-1-2-3.ip.example. 60 IN A 10.1.2.3"]
    assert (answer.aa, answer.rcode, answer.source) == (True, records.NOERROR, "template")


def test_every_section_is_filled_and_no_pattern_matches_everything():
    made = template(
        "MX",
        answer="{{ .Name }} 60 IN MX 10 mx.{{ .Name }}",
        authority="{{ .Zone }} NS ns.{{ .Zone }}",
        additional="mx.{{ .Name }} 60 IN A 192.0.2.40",
    )
    answer = ask(TemplateAuthority([made]), "x.ip.example", "MX")
    assert said(answer.answer) == ["x.ip.example. 60 IN MX 10 mx.x.ip.example."]
    assert said(answer.authority) == ["ip.example. 3600 IN NS ns.ip.example."]
    assert said(answer.additional) == ["mx.x.ip.example. 60 IN A 192.0.2.40"]


@pytest.mark.parametrize(
    ("options", "rcode"), [({"rcode": 3}, 3), ({"rcode": 5}, 5), ({"rcode": 2}, 2), ({}, 0)]
)
def test_the_rcode_is_the_template_s(options, rcode):
    answer = ask(TemplateAuthority([template(**options)]), "x.ip.example")
    assert (answer.rcode, answer.answer, answer.authority) == (rcode, (), ())
    assert answer.aa is (rcode != records.SERVFAIL)


def test_any_class_and_type_and_the_class_of_records():
    made = template(
        "ANY", "invalid", rclass="ANY", rcode=3,
        authority="invalid. 60 {{ .Class }} SOA ns.invalid. hostmaster.invalid. (1 60 60 60 60)",
    )  # fmt: skip
    for qclass in ("IN", "CH"):
        answer = ask(TemplateAuthority([made]), "www.invalid", "TXT", qclass)
        assert said(answer.authority) == [
            f"invalid. 60 {qclass} SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"
        ]


@pytest.mark.parametrize(
    ("qname", "qtype", "qclass"),
    [("x.example.com", "A", "IN"), ("x.ip.example", "AAAA", "IN"), ("x.ip.example", "A", "CH")],
)
def test_another_zone_type_or_class_goes_on(qname, qtype, qclass):
    assert ask(TemplateAuthority([template()]), qname, qtype, qclass) is None


def test_where_no_pattern_matches_the_question_fails_or_falls_through():
    strict = template(match="^good[.]")
    assert ask(TemplateAuthority([strict]), "bad.ip.example").rcode == records.SERVFAIL
    assert ask(TemplateAuthority([IP]), "bad.ip.example") is None
    after = template(answer="{{ .Name }} A 192.0.2.1")
    assert ask(TemplateAuthority([IP, after]), "bad.ip.example").answer
    there = template(match="^good[.]", fallthrough=(names.from_text("ip.example"),))
    assert ask(TemplateAuthority([there]), "bad.ip.example") is None


def test_the_first_pattern_that_matches_gives_the_groups():
    made = template(match=["^(a)[.]", "^(b)(x)?[.]"], answer='{{ .Name }} TXT "{{ .Match }}"')
    answer = ask(TemplateAuthority([made]), "b.ip.example")
    assert answer.answer[0].rdata[1:] == b"[b. b ]"


def test_what_a_template_is_given():
    made = template(
        zone=(names.ROOT, names.from_text("ip.example"), names.from_text("example")),
        answer='{{ .Name }} TXT "{{ .Zone }} {{ .Class }} {{ .Type }} {{ .Remote }} '
        "{{ .Meta `a/b` }} {{ .Meta `no/ne` }} {{ .Message.Id }} {{ .Question.Qtype }} "
        '{{ (index .Message.Question 0).Name }}"',
    )
    answer = ask(
        TemplateAuthority([made]), "X.ip.example", metadata={"a/b": "c"}, message=b"\x00\x07",
        address=("192.0.2.9", 1),
    )  # fmt: skip
    assert answer.answer[0].rdata[1:] == b"ip.example. IN A 192.0.2.9 c  7 1 x.ip.example."


def test_an_extended_error_goes_along():
    answer = ask(TemplateAuthority([template(rcode=3, ede=(15, "Blocked"))]), "x.ip.example")
    assert answer.options == ((15, b"\x00\x0fBlocked"),)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{{ .Name }} A {{ .Group.none }}", "rr_failures"),
        ("{{ .Name }} A 192.0.2.1\nx. A 192.0.2.1", "rr_failures"),
        ("$ORIGIN x.", "rr_failures"),
        ("{{ index .Match 9 }}", "template_failures"),
    ],
)
def test_a_text_that_is_no_record_is_a_failure_and_counted(text, what):
    counts = []
    made = TemplateAuthority(
        [template(answer=text)], counted=lambda kind, *_rest: counts.append((kind, _rest[3]))
    )
    with pytest.raises(ServerFailure):
        ask(made, "x.ip.example")
    assert counts == [("matches", ""), (what, "answer")]


class Elsewhere:
    def __init__(self, result):
        self.result, self.asked = result, []

    def lookup(self, question, qname, qtype):
        self.asked.append((names.to_text(qname), qtype))
        return self.result


FOUND = Answer((record_from_text("www.example.com. 5 A 192.0.2.53"),))
ALIAS = template("ANY", "alias.example", answer="{{ .Name }} 60 IN CNAME www.example.com.")


def test_a_templated_alias_is_followed_for_addresses():
    elsewhere = Elsewhere(FOUND)
    made = TemplateAuthority([ALIAS], elsewhere)
    answer = ask(made, "a.alias.example")
    assert [r.rtype for r in answer.answer] == [records.CNAME, records.A]
    assert len(ask(made, "a.alias.example", "TXT").answer) == 1
    assert elsewhere.asked == [("www.example.com.", records.A)]


def test_the_target_of_an_alias_may_come_later():
    waiting, got = Deferred(), []
    ask(TemplateAuthority([ALIAS], Elsewhere(waiting)), "a.alias.example").addCallback(got.append)
    waiting.callback(FOUND)
    assert len(got[0].answer) == 2


@pytest.mark.parametrize(
    ("qname", "rcode"), [("a.ip.example", 0), ("b.ip.example", 2), ("ab.ip.example", 2)]
)
def test_every_expression_must_be_true_as_a_pattern_must_fit(qname, rcode):
    conditions = (Expression("name() startsWith 'a'"), Expression("len(name()) == 13"))
    made = TemplateAuthority([template(conditions=conditions, answer="{{ .Name }} A 192.0.2.1")])
    assert ask(made, qname).rcode == rcode


def test_a_false_expression_falls_through_to_the_next_template():
    first = template(conditions=(Expression("type() == 'MX'"),), fallthrough=ROOT)
    second = template(answer="{{ .Name }} 5 IN A 192.0.2.2")
    found = ask(TemplateAuthority([first, second]), "a.ip.example")
    assert said(found.answer) == ["a.ip.example. 5 IN A 192.0.2.2"]


def test_templates_see_the_values_of_variables():
    variables = (
        ("kind", Expression("type() + '-' + lower('X')", (TEXT,))),
        ("size", Expression("len('abc') * 2", (NUMBER,))),
        ("is_a", Expression("type() == 'A'", (BOOL,))),
    )
    text = '{{ .Name }} 5 IN TXT "{{ .Var.kind }} {{ .Var.size }} {{ .Var.is_a }}"'
    found = ask(TemplateAuthority([template(variables=variables, answer=text)]), "a.ip.example")
    assert found.answer[0].rdata == b"\x0aA-x 6 true"


def test_a_variable_without_a_value_fails_the_query_and_is_counted():
    seen = []
    variables = (("quotient", Expression("1 / (len(name()) - 13)", (NUMBER,))),)
    made = TemplateAuthority(
        [template(variables=variables)], counted=lambda *what: seen.append((what[0], what[4]))
    )
    with pytest.raises(ServerFailure, match="var quotient"):
        ask(made, "a.ip.example")
    assert seen == [("matches", ""), ("template_failures", "var")]
