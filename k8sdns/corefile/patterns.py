"""Regular expressions as Go writes them, for words of a Corefile.

Owns: the message about one that cannot be used. Refuses to know what is matched; see `goregex`.
"""

from __future__ import annotations

from k8sdns.corefile.goregex import GoRegex
from k8sdns.corefile.regexsyntax import MAX_PATTERN, BadPattern

MAX_PATTERN_LENGTH = MAX_PATTERN


def compiled(pattern: str) -> GoRegex:
    """Compile a regular expression as Go writes it; raises `ValueError`."""
    try:
        return GoRegex(pattern)
    except BadPattern as error:
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise
        raise ValueError(f"could not parse regex '{pattern[:200]}': {error}") from None
