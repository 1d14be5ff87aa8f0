"""The order of the chain."""

from __future__ import annotations

import pytest

from k8sdns.corefile.order import ORDER, UnknownPlace, ranked, unknown_directive


def test_the_order_is_coredns_s_with_proxy_behind_forward():
    assert len(ORDER) == len(set(ORDER)) == 61
    assert ORDER[:3] == ("root", "metadata", "geoip")
    assert ORDER[-2:] == ("view", "nomad")
    assert ORDER[ORDER.index("forward") + 1] == "proxy"


def test_the_order_of_the_corefile_does_not_matter():
    words = ["forward", "cache", "kubernetes", "log", "errors", "hosts", "rewrite"]
    expected = ["errors", "log", "rewrite", "cache", "hosts", "kubernetes", "forward"]
    assert ranked(words, {}) == ranked(reversed(words), {}) == expected


def test_other_words_stand_right_behind_the_word_they_follow():
    follows = {"mine": "cache", "also": "cache", "child": "mine"}
    words = ["header", "child", "mine", "cache", "also", "acl"]
    assert ranked(words, follows) == ["acl", "cache", "also", "mine", "child", "header"]


@pytest.mark.parametrize(
    "follows", [{}, {"mine": "nothing"}, {"mine": "mine"}, {"mine": "b", "b": "mine"}]
)
def test_a_word_without_a_place_is_refused(follows):
    with pytest.raises(UnknownPlace, match="'mine' has no place in the chain"):
        ranked(["mine"], follows)


def test_an_unknown_word_is_named_with_its_nearest():
    assert unknown_directive("chache", ["cache"]) == (
        "Unknown directive 'chache' (did you mean 'cache'?)"
    )
    assert unknown_directive("xyzzy", ["cache"]) == "Unknown directive 'xyzzy'"
    assert "CoreDNS has it" in unknown_directive("route53", ["cache"])
