"""``dns64``: AAAA records made from A records."""

from __future__ import annotations

import ipaddress

import dns.flags
import dns.rcode
import pytest

from k8sdns.authorities.dns64 import embedded
from k8sdns.errors import CorefileError
from k8sdns.testing import serve

ZONE = """
@ 40 SOA ns a 1 2 3 4 40
@ NS ns
v4 60 A 192.0.2.33
v4 60 A 192.0.2.34
short 20 A 192.0.2.33
both 60 A 192.0.2.33
both 60 AAAA 2001:db8::1
alias 60 CNAME v4
text 60 TXT x
"""
V6 = "2001:db8::9"


@pytest.fixture
def ask():
    def asked(stanza, name, qtype="AAAA", client=V6, **query):
        text = f". {{\n{stanza}\nfile zone example.org\n}}"
        with serve(text, files={"zone": "$ORIGIN example.org.\n$TTL 60\n" + ZONE}) as served:
            reply = served.ask(f"{name}.example.org.", qtype, client=client, **query)
            asked.translated = served.total("coredns_dns64_requests_translated_total")
            return reply

    return asked


def texts(reply):
    lines = [line for rrset in reply.answer for line in rrset.to_text().splitlines()]
    return [line.replace(".example.org.", "").replace(" IN", "") for line in lines]


@pytest.mark.parametrize(
    ("stanza", "name", "expected"),
    [
        ("dns64", "v4", ["v4 40 AAAA 64:ff9b::c000:221", "v4 40 AAAA 64:ff9b::c000:222"]),
        ("dns64", "short", ["short 20 AAAA 64:ff9b::c000:221"]),
        ("dns64", "both", ["both 60 AAAA 2001:db8::1"]),
        ("dns64 {\ntranslate_all\n}", "both", ["both 60 AAAA 64:ff9b::c000:221"]),
        ("dns64 2001:db8::/32", "short", ["short 20 AAAA 2001:db8:c000:221::"]),
        ("dns64 {\nprefix 2001:db8::/64\n}", "short", ["short 20 AAAA 2001:db8::c0:2:2100:0"]),
        ("dns64", "text", []),
    ],
)
def test_addresses_are_made_where_there_are_none(ask, stanza, name, expected):
    reply = ask(stanza, name)
    assert texts(reply) == expected
    assert reply.rcode() == dns.rcode.NOERROR
    made = bool(expected) and "2001:db8::1" not in expected[0]
    assert ask.translated == made
    if made:
        assert not reply.flags & dns.flags.AA


def test_aliases_stay(ask):
    assert texts(ask("dns64", "alias"))[0] == "alias 60 CNAME v4"
    assert len(ask("dns64", "alias").answer) == 2


@pytest.mark.parametrize(
    ("stanza", "client", "is_made"),
    [
        ("dns64", V6, True),
        ("dns64", "192.0.2.9", False),
        ("dns64", "::ffff:192.0.2.9", False),
        ("dns64 {\nallow_ipv4\n}", "192.0.2.9", True),
    ],
)
def test_clients_of_ipv4_need_none(ask, stanza, client, is_made):
    assert bool(ask(stanza, "v4", client=client).answer) == is_made


@pytest.mark.parametrize(("do", "cd", "is_made"), [(1, 0, True), (0, 1, True), (1, 1, False)])
def test_who_validates_for_himself_gets_none(ask, do, cd, is_made):
    flags = dns.flags.RD | (dns.flags.CD if cd else 0)
    reply = ask("dns64", "v4", flags=flags, use_edns=0, want_dnssec=bool(do))
    assert bool(reply.answer) == is_made


def test_other_types_and_missing_names_are_left_alone(ask):
    assert texts(ask("dns64", "short", "A")) == ["short 20 A 192.0.2.33"]
    assert ask("dns64", "none").rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [  # RFC 6052 §2.4
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ],
)
def test_addresses_are_put_where_rfc_6052_says(prefix, expected):
    octets = embedded(ipaddress.IPv6Network(prefix), bytes([192, 0, 2, 33]))
    assert ipaddress.IPv6Address(octets) == ipaddress.IPv6Address(expected)


@pytest.mark.parametrize(
    ("stanza", "line", "message"),
    [
        ("dns64 192.0.2.0/24", 2, "no IPv6 prefix"),
        ("dns64 64:ff9b::", 2, "length of the prefix"),
        ("dns64 64:ff9b::/95", 2, "length of the prefix"),
        ("dns64 {\nprefix x\n}", 3, "no IPv6 prefix"),
        ("dns64 64:ff9b::/96 {\nprefix 64:ff9b::/96\n}", 3, "given twice"),
        ("dns64 {\ntranslate\n}", 3, "did you mean 'translate_all'"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(checked, stanza, line, message):
    with pytest.raises(CorefileError) as caught:
        checked(f". {{\n{stanza}\n}}")
    assert (caught.value.line, message in str(caught.value)) == (line, True)
