"""The order of the directives in a block's chain, whatever their order in the Corefile.

Owns: CoreDNS's order as data, and the sentence about a word that is not there. Refuses to know
which directives exist and what they do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

# CoreDNS's plugin.cfg; `proxy` stands where CoreDNS 1.2.5 had it, right after `forward`.
ORDER: tuple[str, ...] = (
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "proxy",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
)

_RANK = {word: rank for rank, word in enumerate(ORDER)}


class UnknownPlace(ValueError):
    """A directive that follows a word which has no place itself."""


def ranked(words: Iterable[str], follows: Mapping[str, str]) -> list[str]:
    """Return `words` in chain order.

    `follows` gives, for each word that is not CoreDNS's, the word that it stands right behind;
    several behind one word keep the alphabet's order. Raises `UnknownPlace` for a word without one.
    """
    return sorted(words, key=lambda word: _place(word, follows))


def _place(word: str, follows: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    path: tuple[str, ...] = ()
    at = word
    while at not in _RANK:
        path = (at, *path)
        at = follows.get(at, "")
        if not at or at in path:
            raise UnknownPlace(
                f"directive '{word}' has no place in the chain: "
                "let it follow one of the words of docs/directives/index"
            )
    return _RANK[at], path


def unknown_directive(word: str, words: Collection[str]) -> str:
    """Return the sentence about a directive that is not among `words`; it names the nearest."""
    if word in _RANK:
        return (
            f"Unknown directive '{word}': CoreDNS has it, k8sdns does not; "
            "docs/directives/index lists what there is"
        )
    near = get_close_matches(word, sorted(words), n=1)
    remedy = f" (did you mean '{near[0]}'?)" if near else ""
    return f"Unknown directive '{word}'{remedy}"
