"""The words of a rewrite rule to the rule.

Owns the grammar of CoreDNS's plugin/rewrite. Every function raises ValueError with a sentence for
the person who wrote the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from k8sdns import records
from k8sdns.server.rewrite import edns0, responses, rules
from k8sdns.server.rewrite.patterns import KINDS, Pattern, check_groups, normalised, pattern
from k8sdns.server.rewrite.responses import Response
from k8sdns.server.rewrite.rules import Apply, Rule

MAX_TTL = 2**31 - 1  # seconds (RFC 2181 §8)

_ACTIONS = ("set", "append", "replace", "unset")


def rule(words: Sequence[str]) -> Rule:
    """Return the rule of ``[continue|stop] FIELD …``."""
    mode, rest = "stop", list(words)
    if rest and rest[0].lower() in {"stop", "continue"}:
        mode = rest.pop(0).lower()
    if not rest:
        raise ValueError(f"no rule type specified: write one of {', '.join(_FIELDS)}")
    field = rest.pop(0).lower()
    if field == "answer":
        raise ValueError("response rewrites must begin with a name rule")
    read = _FIELDS.get(field)
    if read is None:
        raise ValueError(f"invalid rule type '{field}': write one of {', '.join(_FIELDS)}")
    return Rule(read(rest), mode == "stop")


def _two(words: Sequence[str], field: str) -> Sequence[str]:
    if len(words) != 2:
        raise ValueError(f"{field} rules must have exactly two arguments: {field} FROM TO")
    return words


def _type(words: Sequence[str]) -> Apply:
    old, new = (records.type_number(word) for word in _two(words, "type"))
    if old is None or new is None:
        raise ValueError(f"invalid type '{words[0] if old is None else words[1]}'")
    return rules.type_rule(old, new)


def _class(words: Sequence[str]) -> Apply:
    old, new = (records.class_number(word) for word in _two(words, "class"))
    if old is None or new is None:
        raise ValueError(f"invalid class '{words[0] if old is None else words[1]}'")
    return rules.class_rule(old, new)


def _matched(
    words: Sequence[str], count: int, usage: str
) -> tuple[Pattern, Sequence[str], Sequence[str]]:
    """Split ``[match] NAME`` and `count` more words off; return the pattern, those, and the rest.

    The kind of match may be left out only where nothing follows.
    """
    if len(words) == count + 1:
        return pattern("exact", words[0]), words[1:], ()
    if len(words) < count + 2:
        raise ValueError(f"too few arguments: write {usage}")
    kind = words[0].lower()
    return pattern(kind, words[1]), words[2 : count + 2], words[count + 2 :]


def _name(words: Sequence[str]) -> Apply:
    usage = f"name [{'|'.join(KINDS)}] FROM TO [answer auto|name RE TO|value RE TO]"
    found, (to,), rest = _matched(words, 1, usage)
    check_groups(found, to)
    auto, answers = _answer_rules(rest)
    return rules.name_rule(
        found, normalised(to), auto=auto or found.kind == "exact", answers=answers
    )


def _answer_rules(words: Sequence[str]) -> tuple[bool, tuple[Response, ...]]:
    """Read ``answer auto``, ``answer name RE TO``, ``answer value RE TO``, any number of them."""
    auto = False
    found: list[Response] = []
    at = 0
    while at < len(words):
        if words[at].lower() != "answer" or at + 1 >= len(words):
            raise ValueError(f"'{words[at]}' is not expected: write answer auto, name or value")
        field = words[at + 1].lower()
        if field == "auto":
            auto = True
            at += 2
            continue
        found.append(_answer_rule(field, words[at + 2 : at + 4]))
        at += 4
    return auto, tuple(found)


def _answer_rule(field: str, words: Sequence[str]) -> Response:
    make = {"name": responses.owners, "value": responses.values}.get(field)
    if make is None:
        raise ValueError(f"invalid answer rule '{field}': write auto, name or value")
    if len(words) != 2:
        raise ValueError(f"too few arguments: write answer {field} REGEXP TO")
    found = pattern("regex", words[0])
    check_groups(found, words[1])
    return make(found.change_to(normalised(words[1])))


def _ttl(words: Sequence[str]) -> Apply:
    usage = f"ttl [{'|'.join(KINDS)}] NAME TTL|MIN-MAX|MIN-|-MAX"
    found, (bounds,), rest = _matched(words, 1, usage)
    _nothing(rest, usage)
    least, most = _ttl_bounds(bounds)
    return rules.response_rule(found, responses.ttls(least, most))


def _ttl_bounds(text: str) -> tuple[int, int]:
    least, dash, most = text.partition("-")
    if not dash:
        return _seconds(least, text), _seconds(least, text)
    if not (least or most):
        raise ValueError(f"invalid TTL '{text}'")
    low = _seconds(least, text) if least else 0
    high = _seconds(most, text) if most else MAX_TTL
    if low > high:
        raise ValueError(f"invalid TTL '{text}': the least is more than the most")
    return low, high


def _seconds(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 11) or int(digits) > MAX_TTL:
        raise ValueError(f"invalid TTL '{text}': write seconds, or MIN-MAX")
    return int(digits)


def _rcode(words: Sequence[str]) -> Apply:
    usage = f"rcode [{'|'.join(KINDS)}] NAME OLD NEW"
    found, (old, new), rest = _matched(words, 2, usage)
    _nothing(rest, usage)
    return rules.response_rule(found, responses.rcode(_code(old), _code(new)))


def _code(text: str) -> int:
    known = records.RCODES.get(text.upper())
    if known is not None:
        return known
    if text.isascii() and text.isdecimal() and int(text) <= 0xFFF:
        return int(text)
    raise ValueError(f"invalid rcode '{text}'")


def _cname(words: Sequence[str]) -> Apply:
    usage = f"cname [{'|'.join(KINDS)}] FROM TO"
    found, (to,), rest = _matched(words, 1, usage)
    _nothing(rest, usage)
    check_groups(found, to)
    return rules.alias_rule(found, normalised(to))


def _nothing(rest: Sequence[str], usage: str) -> None:
    if rest:
        raise ValueError(f"'{rest[0]}' is too much: write {usage}")


def _edns0(words: Sequence[str]) -> Apply:
    if len(words) < 2:
        raise ValueError("too few arguments: write edns0 local|nsid|subnet ACTION …")
    kind, action, rest = words[0].lower(), words[1].lower(), list(words[2:])
    if action not in _ACTIONS:
        raise ValueError(f"invalid action '{action}': write one of {', '.join(_ACTIONS)}")
    reverts = rest[-1:] == ["revert"]
    if reverts:
        rest.pop()
    read = {"local": _local, "nsid": _nsid, "subnet": _subnet}.get(kind)
    if read is None:
        raise ValueError(f"invalid rule type '{kind}': write local, nsid or subnet")
    return rules.option_rule(read(action, rest), reverts=reverts)


def _nobody(_question: object) -> bytes | None:
    return None


def _local(action: str, words: Sequence[str]) -> edns0.OptionChange:
    if len(words) != (1 if action == "unset" else 2):
        raise ValueError(
            "write edns0 local set|append|replace CODE VALUE, or edns0 local unset CODE"
        )
    try:
        code = int(words[0], 0)
    except ValueError:
        code = -1
    if not 0 <= code <= 0xFFFF:
        raise ValueError(f"invalid option code '{words[0]}': write a number from 0 to 65535")
    if action == "unset":
        return edns0.OptionChange(action, code, _nobody)
    value = words[1]
    is_variable = value.startswith("{") and value.endswith("}")
    octets = edns0.variable(value[1:-1]) if is_variable else edns0.constant(value)
    return edns0.OptionChange(action, code, octets)


def _nsid(action: str, words: Sequence[str]) -> edns0.OptionChange:
    if words:
        raise ValueError(f"'{words[0]}' is too much: write edns0 nsid {action}")
    return edns0.OptionChange(action, edns0.NSID, lambda _question: b"")


def _subnet(action: str, words: Sequence[str]) -> edns0.OptionChange:
    if action == "unset" and not words:
        return edns0.OptionChange(action, edns0.CLIENT_SUBNET, _nobody)
    if len(words) != 2 or action == "unset":
        raise ValueError(
            "write edns0 subnet set|append|replace V4BITS V6BITS, or edns0 subnet unset"
        )
    octets = edns0.subnet(_bits(words[0], 32), _bits(words[1], 128))
    return edns0.OptionChange(action, edns0.CLIENT_SUBNET, octets)


def _bits(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 4) or int(text) > most:
        raise ValueError(f"invalid bit mask length '{text}': write 0 to {most}")
    return int(text)


_FIELDS: dict[str, Callable[[Sequence[str]], Apply]] = {
    "name": _name, "type": _type, "class": _class, "ttl": _ttl, "rcode": _rcode, "cname": _cname,
    "edns0": _edns0,
}  # fmt: skip
