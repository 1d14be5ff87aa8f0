"""Times as Go writes them, in float seconds here.

Owns: the text form of durations. Refuses to know what they are for.
"""

from __future__ import annotations

import math
import re

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_DURATION_PART.pattern})+)")
# Longer texts are no times that anybody means, and floats stay finite.
_MAX_DURATION_LENGTH = 60


def seconds(word: str) -> float:
    """Return Go's duration text in seconds; a unit is required but for 0. Raises `ValueError`."""
    if len(word) > _MAX_DURATION_LENGTH or not _DURATION.fullmatch(word):
        raise ValueError(
            f"'{word[:_MAX_DURATION_LENGTH]}' is not a duration: write 5s, 1m30s, 500ms"
        )
    value = math.fsum(
        float(amount) * _SECONDS[unit] for amount, unit in _DURATION_PART.findall(word)
    )
    return -value if word[0] == "-" else value


def go_duration(value: float) -> str:
    """Return seconds as a short duration: ``1h``, ``1m30s``, ``0.5s``."""
    sign, rest = ("-", -value) if value < 0 else ("", value)
    parts = []
    for unit, size in (("h", 3600), ("m", 60)):
        count, rest = divmod(rest, size)
        parts.append(f"{count:.0f}{unit}" if count else "")
    parts.append(f"{rest:g}s" if rest or not any(parts) else "")
    return sign + "".join(parts)
