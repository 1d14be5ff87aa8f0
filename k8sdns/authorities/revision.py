"""Answers changed on their way out, without rendering their records again.

Owns: how a stage makes another Answer of one that is shared by everybody. Refuses to know why.
"""

from __future__ import annotations

import copy

from k8sdns.answers import Answer


def revised(
    answer: Answer,
    *,
    flags: int | None = None,
    options: tuple[tuple[int, bytes], ...] | None = None,
) -> Answer:
    """Return a copy of `answer` with other header flags or EDNS options; it shares the octets.

    Nobody vouches for the copy: it is not current, whatever the original is.
    """
    new = copy.copy(answer)
    new.is_current = False
    new.told = None
    if flags is not None:
        new.flags = flags
    if options is not None:
        new.options = options
    return new
