"""``rewrite``: each kind of rule, on the way in and on the way out."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rcode
import pytest
from hypothesis import example, given, strategies as st
from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Edns, Question, nodata
from k8sdns.authorities.upstream.query import query_of
from k8sdns.errors import CorefileError
from k8sdns.interfaces import ILookup
from k8sdns.records import Record
from k8sdns.server.rewrite.grammar import rule
from k8sdns.server.rewrite.patterns import pattern
from k8sdns.server.rewrite.responses import values
from k8sdns.server.rewrite.stage import Rewriter

ZONE = """
@ NS ns
web 60 A 192.0.2.1
api 60 A 192.0.2.2
old 60 CNAME away
away 60 A 192.0.2.3
mail 60 MX 10 web
_http._tcp 60 SRV 1 2 80 web
text 60 TXT "x"
"""


@pytest.fixture
def ask(serve, zone_file):
    path = zone_file(ZONE)

    def asked(rules, name, qtype="A", **arguments):
        lines = "\n".join(f"rewrite {line}" for line in rules)
        served = serve(f".:53 {{\n{lines}\nfile {path} example.org\n}}")
        return served.ask(name, qtype, **arguments)

    return asked


def texts(reply):
    return [line for rrset in reply.answer for line in rrset.to_text().splitlines()]


WEB = "web.example.org."
IN_ORG = "(.*)[.]example[.]org[.]$"


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        (["name a.net web.example.org"], "a.net.", "a.net. 60 IN A 192.0.2.1"),
        (["name exact A.net WEB.example.org"], "a.NET.", "a.NET. 60 IN A 192.0.2.1"),
        (["name suffix .net .example.org answer auto"], "web.net.", "web.net. 60 IN A 192.0.2.1"),
        (["name suffix .net .example.org"], "web.net.", f"{WEB} 60 IN A 192.0.2.1"),
        (["name suffix b.net b.example.org answer auto"], "web.net.",
         "web.net. 60 IN A 192.0.2.1"),
        (["name prefix w web answer auto"], "w.example.org.", "w.example.org. 60 IN A 192.0.2.1"),
        (["name substring x.net example.org answer auto"], "web.x.net.",
         "web.x.net. 60 IN A 192.0.2.1"),
        (["name regex ^(.*)-(.*)[.]net[.]$ {1}.{2}.org answer auto"], "web-example.net.",
         "web-example.net. 60 IN A 192.0.2.1"),
        ([f"name regex ^(.*)[.]net[.]$ {{1}}.example.org answer name {IN_ORG} back-{{1}}.net"],
         "web.net.", "back-web.net. 60 IN A 192.0.2.1"),
        (["continue name a.net b.net", "name b.net web.example.org"], "a.net.",
         "a.net. 60 IN A 192.0.2.1"),
        (["name a.net web.example.org", "name a.net api.example.org"], "a.net.",
         "a.net. 60 IN A 192.0.2.1"),
        (["type HINFO A"], "web.example.org.", f"{WEB} 60 IN A 192.0.2.1"),
        (["class CH IN"], "web.example.org.", f"{WEB} 60 IN A 192.0.2.1"),
        (["ttl web.example.org 5"], "web.example.org.", f"{WEB} 5 IN A 192.0.2.1"),
        (["ttl suffix .example.org 100-200"], "web.example.org.", f"{WEB} 100 IN A 192.0.2.1"),
        (["ttl suffix .example.org -30"], "web.example.org.", f"{WEB} 30 IN A 192.0.2.1"),
        (["ttl suffix .example.org 61-"], "web.example.org.", f"{WEB} 61 IN A 192.0.2.1"),
        (["ttl suffix .example.net 5"], "web.example.org.", f"{WEB} 60 IN A 192.0.2.1"),
    ],
)  # fmt: skip
def test_a_rule_changes_the_question_and_the_answer(ask, rules, name, expected):
    qtype = "HINFO" if "HINFO" in rules[0] else "A"
    reply = ask(rules, name, qtype)
    assert texts(reply) == [expected]
    assert reply.question[0].name.to_text() == name


@pytest.mark.parametrize(
    ("qtype", "name", "expected"),
    [
        ("MX", "mail.net.", "mail.net. 60 IN MX 10 web.net."),
        ("SRV", "_http._tcp.net.", "_http._tcp.net. 60 IN SRV 1 2 80 web.net."),
        ("CNAME", "old.net.", "old.net. 60 IN CNAME away.net."),
        ("TXT", "text.net.", 'text.net. 60 IN TXT "x"'),
    ],
)
def test_values_get_the_name_back_too(ask, qtype, name, expected):
    assert texts(ask(["name suffix .net .example.org answer auto"], name, qtype)) == [expected]


def test_the_denial_s_zone_gets_its_name_back(ask):
    reply = ask(["name suffix .net .example.org answer auto"], "none.x.net.")
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.name.to_text() for rrset in reply.authority] == ["example.org."]


def test_an_answer_value_follows_its_expression(ask):
    asked = "name regex ^(.*)[.]net[.]$ {1}.example.org"
    rules = f"{asked} answer auto answer value ^away[.](.*)[.]org[.]$ gone.{{1}}.com"
    assert texts(ask([rules], "old.net.", "CNAME")) == ["old.net. 60 IN CNAME gone.example.com."]


def test_a_rule_may_go_on_between_braces(ask):
    rules = [
        "stop {\nname regex ^(.*)[.]net[.]$ {1}.example.org\nanswer name web(.*) back.net\n}",
    ]
    assert texts(ask(rules, "web.net.")) == ["back.net. 60 IN A 192.0.2.1"]


@pytest.mark.parametrize(
    ("rules", "name", "rcode"),
    [
        (["rcode none.example.org NXDOMAIN NOERROR"], "none.example.org.", "NOERROR"),
        (["rcode suffix .example.org 3 5"], "none.example.org.", "REFUSED"),
        (["rcode none.example.org REFUSED NOERROR"], "none.example.org.", "NXDOMAIN"),
        (["rcode nobody.net SERVFAIL REFUSED"], "nobody.net.", "REFUSED"),
        (["name suffix .net ..org"], "web.net.", "SERVFAIL"),
    ],
)
def test_rcodes_are_exchanged(ask, rules, name, rcode):
    assert dns.rcode.to_text(ask(rules, name).rcode()) == rcode


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("cname away.example.org web.example.org", ["web", "192.0.2.1"]),
        ("cname exact nothing.example.org web.example.org", ["away", "192.0.2.3"]),
        ("cname prefix away web", ["web", "192.0.2.1"]),
        ("cname regex ^aw(.*)[.]example[.]org[.]$ api.example.org", ["api", "192.0.2.2"]),
    ],
)
def test_an_alias_is_led_elsewhere_and_followed(ask, target, expected):
    alias, address = expected
    assert texts(ask([target], "old.example.org.")) == [
        f"old.example.org. 60 IN CNAME {alias}.example.org.",
        f"{alias}.example.org. 60 IN A {address}",
    ]


def test_aliases_that_lead_to_each_other_end(serve, zone_file):
    path = zone_file("a CNAME x\nx A 192.0.2.1\n")
    served = serve(f". {{\nrewrite cname x.example.org a.example.org\nfile {path} example.org\n}}")
    assert served.ask("a.example.org.").rcode() == dns.rcode.SERVFAIL


@implementer(ILookup)
class LookupLater:
    """Resolves names once told to."""

    def __init__(self):
        self.waiting = Deferred()

    def lookup(self, question, qname, qtype):
        self.asked = (names.to_text(qname), qtype)
        return self.waiting


def test_an_alias_may_have_to_be_waited_for():
    lookup = LookupLater()
    rewriter = Rewriter([rule(["cname", "b.org", "c.org"])], lookup)
    question = Question(names.from_text("a.org"))
    alias = Record(question.qname, records.CNAME, 60, names.from_text("b.org"))
    found = rewriter.respond(question, lambda _question: Answer((alias,)))
    assert lookup.asked == ("c.org.", records.A)
    address = records.address(names.from_text("c.org"), "192.0.2.7", 60)
    lookup.waiting.callback(Answer((address,), tc=True))
    assert found.result.answer == (
        alias._replace(rdata=names.from_text("c.org")),
        address,
    )
    assert found.result.tc


def test_silence_stays_silence():
    rewriter = Rewriter([rule(["ttl", "suffix", ".", "5"])], LookupLater())
    assert rewriter.respond(Question(), lambda _question: SILENT) is SILENT


# -- laws -------------------------------------------------------------------------------------

LABELS = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


def through(words, qname):
    """Return what is asked in the place of `qname`, and the owner of the answer to that."""
    asked = []

    def rest(question):
        asked.append(question.qname)
        return Answer((records.address(question.qname, "192.0.2.1", 5),))

    answer = Rewriter([rule(words.split())], LookupLater()).respond(Question(qname), rest)
    return asked[0], answer.answer[0].owner


@given(LABELS)
@example([b"a.corp", b"example"])
@example([b"\\", b"corp", b"example"])
def test_a_suffix_is_put_back_and_begins_at_a_label(labels):
    qname = names.from_labels(labels).lower()
    below = names.from_labels([b"x", *labels], names.from_text("corp.example")).lower()
    words = "name suffix .corp.example .cluster.local answer auto"
    assert through(words, below) == (
        below.replace(b"\4corp\7example\0", b"\7cluster\5local\0"), below,
    )  # fmt: skip
    is_meant = qname.endswith(b"\4corp\7example\0") and labels[-2:] == [b"corp", b"example"]
    if not is_meant:
        assert through(words, qname) == (qname, qname)


@given(LABELS)
def test_an_exact_name_is_put_back(labels):
    qname = names.from_labels([b"x", *labels]).lower()
    words = f"name exact {names.to_text(qname)} new.example"
    assert through(words, qname) == (names.from_text("new.example"), qname)


# -- EDNS options ---------------------------------------------------------------------------


def passed_on(words, *, options=(), edns=True, metadata=None):
    """Return the options that upstreams are sent, and those that the client seems to have sent."""
    question = Question(names.from_text("Web.org", lower=False), records.AAAA)
    question.edns = Edns(1400, True, options=options) if edns else None
    question.address = ("192.0.2.77", 513)
    question.local_address = ("::ffff:192.0.2.53", 53)
    question.metadata = metadata
    seen = []

    def rest(asked):
        seen.append(asked)
        return nodata(options=((15, b"\0\0"), (65001, b"x")))

    answer = Rewriter([rule(words.split())], LookupLater()).respond(question, rest)
    (asked,) = seen
    client = asked.edns.options if asked.edns else ()
    return dict(asked.upstream_options), dict(client), dict(answer.options)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edns0 local set 0xffee hello", {0xFFEE: b"hello"}),
        ("edns0 local set 65001 0x0102", {65001: b"\x01\x02"}),
        ("edns0 local set 65001 {qname}", {65001: b"web.org."}),
        ("edns0 local set 65001 {qtype}", {65001: b"\x00\x1c"}),
        ("edns0 local set 65001 {client_ip}", {65001: bytes([192, 0, 2, 77])}),
        ("edns0 local set 65001 {client_port}", {65001: b"\x02\x01"}),
        ("edns0 local set 65001 {protocol}", {65001: b"udp"}),
        ("edns0 local set 65001 {server_ip}", {65001: bytes([192, 0, 2, 53])}),
        ("edns0 local set 65001 {server_port}", {65001: b"\x00\x35"}),
        ("edns0 local set 65001 {kubernetes/client-namespace}", {65001: b"shop"}),
        ("edns0 local set 65001 {kubernetes/nothing}", {}),
        ("edns0 local append 65001 new", {65001: b"new"}),
        ("edns0 local replace 65001 new", {}),
        ("edns0 nsid set", {3: b""}),
        ("edns0 subnet set 24 56", {8: b"\x00\x01\x18\x00" + bytes([192, 0, 2])}),
        ("edns0 subnet set 25 56", {8: b"\x00\x01\x19\x00" + bytes([192, 0, 2, 0])}),
        ("edns0 subnet set 0 0", {8: b"\x00\x01\x00\x00"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("edns", [True, False])
def test_upstreams_are_sent_an_option(words, expected, edns):
    metadata = {"kubernetes/client-namespace": "shop"}
    assert passed_on(words, edns=edns, metadata=metadata)[0] == expected


@pytest.mark.parametrize(
    ("words", "upstream", "client"),
    [
        ("edns0 local set 65001 new", {65001: b"new"}, {}),
        ("edns0 local replace 65001 new", {65001: b"new"}, {}),
        ("edns0 local append 65001 new", {}, {65001: b"old"}),
        ("edns0 local unset 65001", {}, {}),
        ("edns0 local unset 65002", {}, {65001: b"old"}),
    ],
)
def test_an_option_of_the_client_counts_as_there(words, upstream, client):
    assert passed_on(words, options=((65001, b"old"),))[:2] == (upstream, client)


def test_an_option_that_was_set_is_in_the_query_to_upstreams_alone():
    question = Question(names.from_text("web.org"))
    question.edns = Edns(1400, False, options=((65002, b"client's"),))
    asked = []
    Rewriter([rule(["edns0", "local", "set", "65001", "0x0102"])], LookupLater()).respond(
        question, lambda found: asked.append(found) or nodata()
    )
    query = dns.message.from_wire(query_of(asked[0]).octets(1))
    assert [(option.otype, option.to_wire()) for option in query.options] == [(65001, b"\1\2")]


def test_revert_takes_the_option_off_the_answer():
    assert passed_on("edns0 local set 65001 a revert")[2] == {15: b"\0\0"}
    assert passed_on("edns0 local set 65001 a")[2] == {15: b"\0\0", 65001: b"x"}


def test_a_client_s_option_is_not_echoed(ask):
    option = dns.edns.GenericOption(65001, b"x")
    reply = ask(["edns0 local set 65001 y"], "web.example.org.", use_edns=0, options=[option])
    assert reply.options == ()


# -- syntax ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no rule type"),
        ("stop", "no rule type"),
        ("nme a b", "invalid rule type 'nme'"),
        ("answer auto", "begin with a name rule"),
        ("type A", "exactly two arguments"),
        ("type A NOSUCH", "invalid type 'NOSUCH'"),
        ("class IN X", "invalid class 'X'"),
        ("name a", "too few"),
        ("name nothing a b", "invalid match type 'nothing'"),
        ("name regex ([ b", "could not parse regex"),
        ("name regex (.*) {2}.org", "uses the group {2}"),
        ("name exact a b answer", "'answer' is not expected"),
        ("name exact a b answer other x y", "invalid answer rule 'other'"),
        ("name exact a b answer name x", "too few"),
        ("name exact a b answer name (x) {2}", "uses the group {2}"),
        ("ttl a", "too few"),
        ("ttl a b", "invalid TTL"),
        ("ttl a -", "invalid TTL"),
        ("ttl a 5-2", "more than the most"),
        ("ttl a 99999999999", "invalid TTL"),
        ("ttl exact a 5 6", "too much"),
        ("rcode a NXDOMAIN", "too few"),
        ("rcode a NXDOMAIN NONSENSE", "invalid rcode 'NONSENSE'"),
        ("cname a", "too few"),
        ("edns0 local", "too few"),
        ("edns0 other set 1 2", "invalid rule type 'other'"),
        ("edns0 local put 1 2", "invalid action 'put'"),
        ("edns0 local set 1", "CODE VALUE"),
        ("edns0 local set 65536 x", "invalid option code"),
        ("edns0 local set 1 0xabc", "no hexadecimal number"),
        ("edns0 local set 1 {nothing}", "unsupported variable name 'nothing'"),
        ("edns0 nsid set 1", "too much"),
        ("edns0 subnet set 33 0", "invalid bit mask length '33'"),
        ("edns0 subnet set 24", "V4BITS V6BITS"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_its_place(checked, words, message):
    with pytest.raises(CorefileError, match=r"^Corefile:2 - plugin/rewrite: ") as caught:
        checked(f". {{\nrewrite {words}\n}}")
    assert message in str(caught.value)


_NAPTR_HEAD = b"\x00\x0a\x00\x14" + b"\x01U" + b"\x07SIP+D2U" + b"\x00"
_TO_COM = pattern("suffix", ".example.org.").change_to(".example.com.")


def _values_of(rdata, rtype=records.NAPTR):
    answer = Answer(answer=(Record(names.from_text("a.example"), rtype, 60, rdata),))
    question = Question(names.from_text("a.example"), rtype)
    return values(_TO_COM)(answer, question, None).answer[0].rdata


def test_a_naptr_replacement_is_changed():
    replaced = _values_of(_NAPTR_HEAD + names.from_text("_sip._udp.example.org"))
    assert replaced == _NAPTR_HEAD + names.from_text("_sip._udp.example.com")


@pytest.mark.parametrize(
    "rdata",
    [
        b"",
        b"\x00\x0a\x00\x14\xff",
        _NAPTR_HEAD,
        _NAPTR_HEAD + b"\x03sip\x07example\x03org",
        _NAPTR_HEAD + b"\x3fsip\x07example\x03org\x00",
        _NAPTR_HEAD + b"\x03sip\xc0\x0c",
        _NAPTR_HEAD + b"\x80\x07example\x03org\x00",
        _NAPTR_HEAD + names.from_text("sip.example.org") + b"more",
        _NAPTR_HEAD + b"\x01a" * 140 + names.from_text("example.org"),
    ],
    ids=["empty", "text", "none", "no-end", "past-the-end", "pointer", "label", "more", "long"],
)
def test_a_broken_naptr_of_an_upstream_is_passed_on_as_it_is(rdata):
    assert _values_of(rdata) == rdata


@given(st.binary(max_size=60))
@example(_NAPTR_HEAD + b"\x00")
def test_whatever_a_naptr_holds_nothing_but_its_replacement_changes(octets):
    for rdata in (octets, _NAPTR_HEAD + octets):
        assert _values_of(rdata)[: len(_NAPTR_HEAD)] == rdata[: len(_NAPTR_HEAD)]
