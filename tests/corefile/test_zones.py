"""Keys as scheme, zone and port; reverse zones of ranges; collisions."""

from __future__ import annotations

import pytest

from k8sdns.corefile import zones
from k8sdns.corefile.parser import Key
from k8sdns.corefile.zones import Address, BadZone, Claim
from k8sdns.errors import CorefileError
from k8sdns.names import from_text


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (".", ["dns://.:53"]),
        (".:1053", ["dns://.:1053"]),
        (".:0053", ["dns://.:53"]),
        (".:0", ["dns://.:0"]),
        ("Example.ORG", ["dns://example.org.:53"]),
        ("dns://example.org.", ["dns://example.org.:53"]),
        ("tls://example.org", ["tls://example.org.:853"]),
        ("quic://.", ["quic://.:853"]),
        ("grpc://.", ["grpc://.:443"]),
        ("https://.", ["https://.:443"]),
        ("https3://.", ["https3://.:443"]),
        ("https://.:8443", ["https://.:8443"]),
        ("a:b", ["dns://a:b.:53"]),
        ("10.0.0.0/24", ["dns://0.0.10.in-addr.arpa.:53"]),
        ("10.0.0.7/24:1053", ["dns://0.0.10.in-addr.arpa.:1053"]),
        ("10.0.0.0/15", ["dns://0.10.in-addr.arpa.:53", "dns://1.10.in-addr.arpa.:53"]),
        ("192.0.2.1/32", ["dns://1.2.0.192.in-addr.arpa.:53"]),
        ("0.0.0.0/0", ["dns://in-addr.arpa.:53"]),
        ("2001:db8::/32", ["dns://8.b.d.0.1.0.0.2.ip6.arpa.:53"]),
        ("2001:db8::/31:54", [f"dns://{x}.b.d.0.1.0.0.2.ip6.arpa.:54" for x in "89"]),
        ("192.0.2.1", ["dns://192.0.2.1.:53"]),
        ("10.0.0.0/33", ["dns://10.0.0.0/33.:53"]),
    ],
)
def test_keys(key, expected):
    assert [str(address) for address in zones.addresses(key)] == expected


def test_a_range_off_a_boundary_becomes_many_zones():
    found = zones.addresses("192.168.1.0/25:53")
    assert len(found) == 128
    assert str(found[127]) == "dns://127.1.168.192.in-addr.arpa.:53"


def test_only_plain_dns_follows_the_port_of_the_command_line():
    ports = [zones.addresses(key, 1053)[0].port for key in (".", "dns://.", ".:53", "tls://.")]
    assert ports == [1053, 1053, 53, 853]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            ":53",
            "zone is not a valid domain name:  (a domain name cannot be empty; the root is '.')",
        ),
        (".:1056{", "; put a space before '{')"),
        (".:53x", "; a port is a number)"),
        ("example.org:", 'expecting data after last colon: "example.org:"'),
        ("a..b", "zone is not a valid domain name: a..b"),
        (".a", "zone is not a valid domain name"),
        ("a" * 64, "zone is not a valid domain name"),
        ("a." * 130, "specified zone is too long: 260 > 255"),
        (".:65536", "port 65536 of '.:65536' is not between 0 and 65535"),
        (".:-1", "port -1 "),
        (".:" + "9" * 5000, "is not between 0 and 65535"),
        ("::ffff:b:f/115", "invalid CIDR ::ffff:b:f/115"),
        ("0:1::/64", "invalid CIDR 0:1::/64"),
        ("\udcff", "zone is not a valid domain name"),
    ],
)
def test_refusals(key, message):
    with pytest.raises(BadZone) as caught:
        zones.addresses(key)
    assert message in str(caught.value)


def test_a_bad_key_names_its_place():
    with pytest.raises(CorefileError) as caught:
        zones.key_addresses(Key("a..b", "Corefile", 7))
    assert str(caught.value).startswith("Corefile:7 - error inspecting server blocks: zone is not")


def test_zone_arguments_ignore_scheme_and_port():
    assert zones.zones("tls://Example.org:99") == (from_text("example.org"),)


def claims(*asked):
    return [
        Claim(zones.addresses(key)[0], bind, view == "view", "Corefile", line)
        for line, (key, bind, view) in enumerate(asked, 1)
    ]


@pytest.mark.parametrize(
    "asked",
    [
        [(".", "", ""), (".:54", "", ""), ("a", "", ""), ("tls://.", "", "")],
        [(".", "10.0.0.1", ""), (".", "10.0.0.2", "")],
        [(".", "", "view"), (".", "", "view"), (".", "", "")],
        [(".", "", ""), (".", "", "view")],
        [(".", "", ""), ("a", "10.0.0.1", "")],
    ],
)
def test_what_can_live_side_by_side(asked):
    zones.check_overlaps(claims(*asked))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            [(".", "", ""), ("dns://.:53", "", "")],
            "Corefile:2 - cannot serve dns://.:53 - it is already defined (Corefile:1)",
        ),
        (
            [("a", "10.0.0.1", ""), ("b", "", ""), ("A.", "10.0.0.1", "")],
            "Corefile:3 - cannot serve dns://a.:53 on 10.0.0.1 - it is already defined",
        ),
        (
            [(".", "10.0.0.1", ""), (".", "", "")],
            "Corefile:2 - cannot serve dns://.:53 - zone overlap listener capacity",
        ),
        (
            [(".", "", ""), (".", "10.0.0.1", "")],
            "Corefile:2 - cannot serve dns://.:53 on 10.0.0.1 - zone overlap listener capacity",
        ),
        (
            [(".", "10.0.0.1", ""), (".", "", "view")],
            "Corefile:2 - cannot serve dns://.:53 - zone overlap listener capacity",
        ),
    ],
)
def test_collisions(asked, message):
    with pytest.raises(CorefileError) as caught:
        zones.check_overlaps(claims(*asked))
    assert str(caught.value).startswith(message)


def test_an_address_is_a_value():
    assert zones.addresses("a")[0] == Address("dns", from_text("a"), 53)
