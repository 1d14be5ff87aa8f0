"""Regular expressions as Go writes them, compiled by Python.

Owns: the few spellings that differ, and the bound on length. Refuses to know what is matched.
"""

from __future__ import annotations

import re

# CoreDNS's bound on patterns.
MAX_PATTERN_LENGTH = 10_000

# Go's \z is Python's \Z, and POSIX classes have no name in Python.
_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_GO_ONLY = re.compile(r"\\z|\\.|\[:([a-z]+):\]", re.DOTALL)


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression as Go writes it; raises `ValueError`."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ValueError(
            f"regex pattern too long: {len(pattern)} > {MAX_PATTERN_LENGTH} characters"
        )
    try:
        return re.compile(_GO_ONLY.sub(_python_spelling, pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"could not parse regex '{pattern[:200]}': {error}") from None


def _python_spelling(match: re.Match[str]) -> str:
    if match[1] is not None:
        return _POSIX_CLASSES.get(match[1], match[0])
    return r"\Z" if match[0] == r"\z" else match[0]
