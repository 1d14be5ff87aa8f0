"""Label selectors mean what they mean to Kubernetes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from k8sdns.cluster.selectors import BadSelector, parse_selector

WEB = {"app": "web", "tier": "front", "rank": "3", "example.org/team": "red"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app", True),
        ("ghost", False),
        ("!ghost", True),
        ("! app", False),
        ("app=web", True),
        ("app==web", True),
        ("app = db", False),
        ("app!=db", True),
        ("ghost!=db", True),
        ("ghost=", False),
        ("app=,tier", False),
        ("app in (web, db)", True),
        ("app in(db)", False),
        ("app notin (db)", True),
        ("ghost notin (db)", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app in (web,db),!ghost,example.org/team=red", True),
        ("team in (blue, green),stage!=test", False),
        ("rank>2", True),
        ("rank<3", False),
        ("app>2", False),
        ("ghost<2", False),
    ],
)
def test_a_selector_selects(text: str, expected: bool) -> None:
    assert parse_selector(text)(WEB) is expected


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("=web", "'='"),
        ("app=web tier=front", "'tier'"),
        ("app in web", "'web'"),
        ("app in (web", "ends too early"),
        ("app,", "ends too early"),
        (",app", "','"),
        ("app ~ web", "'~'"),
        ("a_/app=web", "'a_/app'"),
        ("app=we$b", "'we$b'"),
        ("rank>high", "'high'"),
        ("app==" + "x" * 64, "'x"),
    ],
)
def test_a_bad_selector_shows_the_offending_piece(text: str, piece: str) -> None:
    with pytest.raises(BadSelector) as error:
        parse_selector(text)
    assert piece in str(error.value)


@given(st.text(alphabet="ab=!<>(), innot/.-", max_size=30))
def test_any_text_is_a_selector_or_a_clear_error(text: str) -> None:
    try:
        selector = parse_selector(text)
    except BadSelector:
        return
    assert selector({"a": "b"}) in {True, False}
