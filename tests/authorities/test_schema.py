"""The name grammar of the Kubernetes DNS specification, as CoreDNS reads it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from k8sdns.authorities.schema import APEX, Place, parse


def labels(text: str) -> list[bytes]:
    return text.encode().split(b".") if text else []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", APEX),
        ("svc", Place(b"svc")),
        ("pod", Place(b"pod")),
        ("shop.svc", Place(b"svc", b"shop")),
        ("web.shop.svc", Place(b"svc", b"shop", b"web")),
        ("db-0.db.shop.svc", Place(b"svc", b"shop", b"db", b"db-0")),
        ("_tcp.web.shop.svc", Place(b"svc", b"shop", b"web", b"_tcp")),
        (
            "_http._tcp.web.shop.svc",
            Place(b"svc", b"shop", b"web", b"", b"http", b"tcp", has_port=True),
        ),
        (
            "http.tcp.web.shop.svc",
            Place(b"svc", b"shop", b"web", b"", b"http", b"tcp", has_port=True),
        ),
        ("_._tcp.web.shop.svc", Place(b"svc", b"shop", b"web", b"", b"", b"tcp", has_port=True)),
        ("__http._tcp.w.n.svc", Place(b"svc", b"n", b"w", b"", b"_http", b"tcp", has_port=True)),
        ("10-0-0-1.shop.pod", Place(b"pod", b"shop", b"10-0-0-1")),
    ],
)
def test_names_that_have_a_place(text, place):
    assert parse(labels(text)) == place


@pytest.mark.parametrize(
    "text",
    ["foo", "dns", "web.shop.foo", "x.svc.shop", "a.b.c.web.shop.svc", "z.pin._zone.db.shop.svc"],
)
def test_names_that_have_none(text):
    assert parse(labels(text)) is None


@pytest.mark.parametrize(
    ("text", "zone", "word"),
    [
        ("eu-1a.pin._zone.db.geo.svc", "eu-1a", b"pin"),
        ("eu-1a.prefer._zone.db.geo.svc", "eu-1a", b"prefer"),
        ("dc.eu.example.pin._zone.db.geo.svc", "dc.eu.example", b"pin"),
    ],
)
def test_zonal_names_with_the_option(text, zone, word):
    place = parse(labels(text), zonal=True)
    assert place is not None
    assert (place.topology_zone, place.zonal, place.service) == (zone, word, b"db")


@pytest.mark.parametrize(
    "text",
    [
        "eu-1a.near._zone.db.geo.svc",
        "pin._zone._.db.geo.svc",
        "eu-1a.pin.zone.db.geo.svc",
        "eu-1a.pin._zone.db.geo.pod",
    ],
)
def test_what_is_no_zonal_name(text):
    assert parse(labels(text), zonal=True) is None


@given(st.lists(st.binary(min_size=1, max_size=63), max_size=12), st.booleans())
def test_any_labels_have_a_place_or_none(some, zonal):
    place = parse(some, zonal=zonal)
    assert place is None or place.tree in (b"", b"svc", b"pod")
    if some and some[-1] not in (b"svc", b"pod"):
        assert place is None
