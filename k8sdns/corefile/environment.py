"""Environment variables in the words of a Corefile: ``{$NAME}`` and ``{%NAME%}``.

Owns: the substitution. Refuses to know where the values come from: they are an argument.
"""

from __future__ import annotations

from collections.abc import Mapping

# A value may itself name a variable, as in CoreDNS; one that names itself must come to an end.
MAX_SUBSTITUTIONS = 100


class EndlessSubstitution(ValueError):
    """A variable whose value names itself, directly or through others."""


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` with its variables replaced, ``{%NAME%}`` first, unset ones by nothing.

    An empty name (``{$}``) ends the substitution of the word; a reference without an end stays as
    it is. What is put in is not split into words (coredns/caddy, caddyfile/parse.go).
    """
    if "{" not in text:
        return text
    return _replace(_replace(text, "{%", "%}", environ), "{$", "}", environ)


def _replace(text: str, begin: str, end: str, environ: Mapping[str, str]) -> str:
    for _ in range(MAX_SUBSTITUTIONS):
        at = text.find(begin)
        until = text.find(end, at) if at >= 0 else -1
        if until <= at + len(begin):
            return text
        reference = text[at : until + len(end)]
        name = reference[len(begin) : -len(end)]
        text = text.replace(reference, environ.get(name, ""))
    raise EndlessSubstitution(f"the environment variables in {text[:80]!r} refer to themselves")
