"""What Go's text/template can do with values: print, compare, index, and CoreDNS's parseInt.

Owns: the functions of templates and Go's spelling of values. Refuses to know the syntax
(`gotemplate`). Values are str, int, float, bool, None, tuples, dicts, and `Struct`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

NO_VALUE: Final = "<no value>"  # how Go prints what a map does not hold
MAX_WIDTH: Final = 1000  # characters that a printf verb may pad to
_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.)", re.DOTALL
)


class ExecutionError(ValueError):
    """A template that cannot be executed with the values at hand."""


class Struct(dict[str, Any]):
    """A value with fixed fields: asking for another one is an error, unlike in a map."""


def is_true(value: Any) -> bool:
    """Tell whether Go's `if` takes the branch: anything but a type's empty value."""
    return isinstance(value, Struct) or bool(value)


def shown(value: Any) -> str:
    """Return a value as Go's ``%v`` prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if value is None:
        return NO_VALUE
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, tuple):
        return "[" + " ".join(map(shown, value)) + "]"
    return str(value)


def _print(*values: Any) -> str:
    """Go's Sprint: a space between two values of which neither is a string."""
    text = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            text += " "
        text += shown(value)
    return text


def _println(*values: Any) -> str:
    return " ".join(map(shown, values)) + "\n"


def _printf(form: str, *values: Any) -> str:
    left = list(values)

    def one(match: re.Match[str]) -> str:
        if match["verb"] == "%":
            return "%"
        if not left:
            raise ExecutionError(f"printf: no value for {match[0]}")
        return _formatted(match, left.pop(0))

    text = _VERB.sub(one, form)
    if left:
        raise ExecutionError(f"printf: {len(left)} values too many")
    return text


def _formatted(match: re.Match[str], value: Any) -> str:
    verb, flags, width = match["verb"], match["flags"], int(match["width"] or 0)
    precision = match["precision"]
    if width > MAX_WIDTH or int(precision or 0) > MAX_WIDTH:
        raise ExecutionError(f"printf: {match[0]} is too wide")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if verb in "dxXob" and is_number:
        text = format(value, verb)
        if "+" in flags and value >= 0:
            text = "+" + text
    elif verb in "xX" and isinstance(value, str):
        text = format(value.encode().hex(), "")
        text = text.upper() if verb == "X" else text
    elif verb == "q" and isinstance(value, str):
        text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    elif verb == "f" and isinstance(value, float):
        text = format(value, f".{precision or 6}f")
    elif verb in "vs" or (verb == "t" and isinstance(value, bool)):
        text = shown(value)[: int(precision) if precision else None]
    else:
        raise ExecutionError(f"printf: {match[0]} does not print {shown(value)}")
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags else text.rjust(width)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Struct) or not isinstance(value, (dict, tuple, str)):
            raise ExecutionError(f"index: {shown(value)} has no items")
        if isinstance(value, dict):
            value = value.get(key, "") if isinstance(key, str) else _no_key(key)
            continue
        if isinstance(key, bool) or not isinstance(key, int):
            _no_key(key)
        if not 0 <= key < len(value):
            raise ExecutionError(f"index: {key} is out of range")
        value = value.encode()[key] if isinstance(value, str) else value[key]
    return value


def _no_key(key: Any) -> Any:
    raise ExecutionError(f"index: {shown(key)} cannot be a key here")


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (str, tuple)) or len(bounds) > 2:
        raise ExecutionError("slice: takes a string or list and at most two bounds")
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(value)):
        raise ExecutionError("slice: out of range")
    return value[start:end]


def _len(value: Any) -> int:
    if not isinstance(value, (str, tuple, dict)):
        raise ExecutionError(f"len: {shown(value)} has no length")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _kind(value: Any) -> str:
    """Return which values `value` can be compared with."""
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, kind):
            return name
    raise ExecutionError(f"{shown(value)} cannot be compared")


def _same(left: Any, right: Any) -> bool:
    if _kind(left) != _kind(right):
        raise ExecutionError(f"{shown(left)} and {shown(right)} are of different types")
    return bool(left == right)


def _less(left: Any, right: Any) -> bool:
    if _kind(left) == "bool":
        raise ExecutionError("truth values have no order")
    return not _same(left, right) and bool(left < right)


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ExecutionError("eq: takes at least two values")
    return any(_same(first, other) for other in others)


def _parse_int(text: Any, base: Any, bits: Any) -> int:
    """CoreDNS's parseInt: an unsigned integer of at most `bits` bits."""
    if not isinstance(text, str) or not isinstance(base, int) or not isinstance(bits, int):
        raise ExecutionError("parseInt: takes a string, a base and a number of bits")
    try:
        if not text.isalnum() or not text.isascii():
            raise ValueError
        value = int(text, base)
    except ValueError:
        raise ExecutionError(f"parseInt: '{text}' is no number of base {base}") from None
    if value >> (bits or 64):
        raise ExecutionError(f"parseInt: '{text}' has more than {bits or 64} bits")
    return value


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "print": _print,
    "println": _println,
    "printf": _printf,
    "index": _index,
    "slice": _slice,
    "len": _len,
    "not": lambda value: not is_true(value),
    "eq": _eq,
    "ne": lambda left, right: not _same(left, right),
    "lt": _less,
    "le": lambda left, right: _same(left, right) or _less(left, right),
    "gt": lambda left, right: _less(right, left),
    "ge": lambda left, right: _same(left, right) or _less(right, left),
    "parseInt": _parse_int,
}
