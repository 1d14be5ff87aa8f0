"""Which block answers: the longest zone, at label boundaries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.interfaces import IRouting
from k8sdns.metrics import Counts
from k8sdns.server.block import ServerBlock
from k8sdns.server.router import Route, Router


def block(*things: Any, empty: bool = False) -> ServerBlock:
    return ServerBlock(things, Counts(), [] if empty else ["whoami"])


def router(*zones: str) -> Router:
    return Router(Route(names.from_text(zone), block()) for zone in zones)


def found(router: Router, name: str, qtype: int = records.A) -> str | None:
    route = router.find(Question(names.from_text(name), qtype))
    return None if route is None else names.to_text(route.zone)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("example.org", "example.org."),
        ("a.example.org", "example.org."),
        ("x.a.b.example.org", "b.example.org."),
        ("B.EXAMPLE.ORG", "b.example.org."),
        ("org", None),
        ("xexample.org", None),
        ("a.b\\007example.org", None),
        (".", None),
    ],
)
def test_the_longest_enclosing_zone_answers(name: str, zone: str | None) -> None:
    assert found(router("example.org", "b.example.org", "other.test"), name) == zone


def test_the_root_takes_what_is_left() -> None:
    assert found(router(".", "example.org"), "example.net") == "."
    assert found(router("."), "example.net") == "."


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("b.example.org", "example.org."),
        ("example.org", "example.org."),
        ("sub.b.example.org", "b.example.org."),
    ],
)
def test_ds_belongs_to_the_parent(name: str, zone: str) -> None:
    """RFC 4035 §3.1.4.1; the root does not stand in for a parent, as in CoreDNS."""
    assert found(router("example.org", "b.example.org", "."), name, records.DS) == zone


def test_a_block_without_directives_refuses() -> None:
    refusing = Router([Route(names.ROOT, block(empty=True))])
    assert found(refusing, "example.org") is None


@implementer(IRouting)
class View:
    """Admits one address only."""

    def __init__(self, host: str) -> None:
        self.name = host
        self._host = host

    def admits(self, question: Question) -> bool:
        return question.peer.host == self._host


def test_views_are_tried_in_order_and_shorter_zones_after_them() -> None:
    one, two, rest = block(View("192.0.2.1")), block(View("192.0.2.2")), block()
    zone = names.from_text("example.org")
    routed = Router([Route(zone, one), Route(zone, two), Route(names.ROOT, rest)])
    for host, expected in (("192.0.2.1", one), ("192.0.2.2", two), ("192.0.2.3", rest)):
        question = Question(names.from_text("a.example.org"))
        question.address = (host, 5)
        route = routed.find(question)
        assert route is not None
        assert route.block is expected


labels = st.lists(st.sampled_from([b"a", b"b", b"\x01a", b"example"]), max_size=4)


@given(st.lists(labels, min_size=1, max_size=5), labels)
def test_routing_is_by_labels(zones: list[list[bytes]], name: list[bytes]) -> None:
    """Law 1: the zone found is the longest list of labels that the name ends in."""
    routed = Router(Route(names.from_labels(zone), block()) for zone in zones)
    route = routed.find(Question(names.from_labels(name)))
    ends = [
        zone for zone in zones if name[len(name) - len(zone) :] == zone and len(zone) <= len(name)
    ]
    if not ends:
        assert route is None
    else:
        assert route is not None
        assert route.zone == names.from_labels(max(ends, key=len))
