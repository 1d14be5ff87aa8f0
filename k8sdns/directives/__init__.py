"""The words of the Corefile, one module a word; and finding them, ours and other people's.

Owns discovery. A module here is a word and holds its `DIRECTIVE`; so is whatever an installed
package names in its entry points of the group ``k8sdns.directives``. There is no list to edit.

A module of ours is imported when its word is first looked at: a server carries the code of the
words that its Corefile has, and of no other.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from k8sdns.corefile.settings import Directive
from k8sdns.errors import ConfigurationError

GROUP = "k8sdns.directives"


class Words(Mapping[str, Directive]):
    """Every directive by its word; one of ours is imported as it is looked at."""

    def __init__(self, ours: frozenset[str], others: Mapping[str, Directive]) -> None:
        self._ours = ours
        self._others = others

    def __getitem__(self, word: str) -> Directive:
        if word in self._ours:
            return _ours(word)
        return self._others[word]

    def __contains__(self, word: object) -> bool:
        return word in self._ours or word in self._others

    def __iter__(self) -> Iterator[str]:
        yield from sorted(self._ours)
        yield from self._others

    def __len__(self) -> int:
        return len(self._ours) + len(self._others)


@cache
def discovered() -> Words:
    """Return every directive by its word; raises ConfigurationError for a broken package."""
    ours = frozenset(module.name for module in pkgutil.iter_modules(__path__))
    others: dict[str, Directive] = {}
    for directive, origin in _others():
        if directive.word in ours or directive.word in others:
            raise ConfigurationError(
                f"{origin} declares the directive '{directive.word}', which exists already: "
                "uninstall one of the packages"
            )
        others[directive.word] = directive
    return Words(ours, others)


def _ours(word: str) -> Directive:
    directive: Directive = importlib.import_module(f"{__name__}.{word}").DIRECTIVE
    return directive


def _others() -> Iterator[tuple[Directive, str]]:
    for point in entry_points(group=GROUP):
        yield _loaded(point), f"the package {point.dist.name if point.dist else point.value}"


def _loaded(point: EntryPoint) -> Directive:
    try:
        directive = point.load()
    except Exception as error:
        raise ConfigurationError(
            f"the directive '{point.name}' of {point.value} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(directive, Directive):
        raise ConfigurationError(
            f"the entry point '{point.name}' of {point.value} is no Directive: "
            "see docs/howto/write-a-directive.md"
        )
    return directive
