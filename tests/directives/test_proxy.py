"""``proxy``: what its stanza is read as; how it answers is told by tests/scenarios/proxy.yaml."""

from __future__ import annotations

import pytest

from k8sdns.authorities.upstream.pages import PageCheck
from k8sdns.errors import CorefileError


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ("/health:8080", PageCheck("/health", 8080, 4.0)),
        ("/health:8080 10s", PageCheck("/health", 8080, 10.0)),
        ("/a:b?c=d:80", PageCheck("/a:b?c=d", 80, 4.0)),
        ("/:", PageCheck("/", 0, 4.0)),
    ],
)
def test_a_page_to_ask_for_is_read(settings, words, check):
    (found,) = settings(f"proxy . 192.0.2.1 {{\nhealth_check {words}\n}}")
    assert found.health_check == check == found.forwarding.page_check


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "write: health_check PATH:PORT"),
        ("/health", "has no port"),
        ("health:8080", "is no path"),
        ("/gesundheit/ü:8080", "is no path"),
        ("/health:99999", "'99999' is not an integer"),
        ("/health:http", "'http' is not an integer"),
        ("/health:8080 never", "never"),
        ("/health:8080 0s", "0s"),
        ("/health:8080 1s 2s", "write: health_check PATH:PORT"),
    ],
)
def test_a_page_that_is_none_is_refused_at_its_line(settings, words, says):
    with pytest.raises(CorefileError) as caught:
        settings(f"proxy . 192.0.2.1 {{\nhealth_check {words}\n}}")
    assert says in str(caught.value)
    assert str(caught.value).startswith("Corefile:3 - plugin/proxy: ")
