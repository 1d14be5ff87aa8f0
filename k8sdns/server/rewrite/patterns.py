"""How rules find and change names: exactly, at the front, at the end, inside, by pattern.

Owns the five kinds of match of CoreDNS's rewrite rules. Refuses to know questions and answers. They
work on text in lower case with its final dot, so a suffix need not begin at a label.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from k8sdns import names
from k8sdns.corefile.patterns import compiled

KINDS = ("exact", "prefix", "suffix", "substring", "regex")

Change: TypeAlias = Callable[[str], "str | None"]
"""The new text, or None where the old one does not match."""


class Pattern(NamedTuple):
    """One kind of match, with what it looks for: lower-case text, or a regular expression."""

    kind: str
    text: str

    def matches(self, name: str) -> bool:
        """Tell whether `name` is one of those that are meant."""
        return self.change_to("")(name) is not None

    def change_to(self, to: str) -> Change:
        """Return what puts `to` in the place of the part that is looked for."""
        return _CHANGES[self.kind](self.text, to)


def text_of(name: bytes) -> str:
    r"""Return a name as rules see it: a dot is always the end of a label.

    A dot inside a label is ``\046`` here, so that no suffix begins inside a label.
    """
    return _with_plain_dots(names.to_text(name).lower())


def _with_plain_dots(text: str) -> str:
    return text if "\\" not in text else _ESCAPE.sub(_dot_by_number, text)


def _dot_by_number(escape: re.Match[str]) -> str:
    return "\\046" if escape[0] == "\\." else escape[0]


def pattern(kind: str, text: str) -> Pattern:
    """Return a Pattern; raises ValueError for a kind or a regular expression that is none."""
    if kind not in KINDS:
        raise ValueError(f"invalid match type '{kind}': write one of {', '.join(KINDS)}")
    if kind == "regex":
        compiled(text)
        return Pattern(kind, text)
    return Pattern(kind, normalised(text))


def normalised(text: str) -> str:
    """Return `text` in lower case with a final dot, as CoreDNS does whatever the kind of match."""
    return _with_plain_dots(text.lower() if text.endswith(".") else text.lower() + ".")


def check_groups(found: Pattern, to: str) -> None:
    """Raise ValueError if `to` names a group, as in ``{2}``, that the expression has not."""
    if found.kind != "regex":
        return
    groups = compiled(found.text).groups
    largest = max((int(number) for number in re.findall(r"\{([0-9]{1,9})\}", to)), default=0)
    if largest > groups:
        raise ValueError(
            f"'{to}' uses the group {{{largest}}}, but '{found.text}' has {groups} of them"
        )


def _exact(text: str, to: str) -> Change:
    return lambda name: to if name == text else None


def _prefix(text: str, to: str) -> Change:
    return lambda name: to + name.removeprefix(text) if name.startswith(text) else None


def _suffix(text: str, to: str) -> Change:
    return lambda name: name.removesuffix(text) + to if name.endswith(text) else None


def _substring(text: str, to: str) -> Change:
    return lambda name: name.replace(text, to) if text in name else None


def _regex(text: str, to: str) -> Change:
    search = compiled(text).search

    def change(name: str) -> str | None:
        found = search(name)
        if found is None:
            return None
        groups = (found[0], *found.groups(""))
        return _GROUP.sub(lambda number: _group(groups, number), to)

    return change


_ESCAPE = re.compile(r"\\(?:[0-9]{3}|.)")
_GROUP = re.compile(r"\{([0-9]{1,9})\}")
_CHANGES: dict[str, Callable[[str, str], Change]] = {
    "exact": _exact, "prefix": _prefix, "suffix": _suffix, "substring": _substring, "regex": _regex,
}  # fmt: skip


def _group(groups: tuple[str, ...], number: re.Match[str]) -> str:
    index = int(number[1])
    return groups[index] if index < len(groups) else number[0]
