"""The words of the Corefile, one module a word; and finding them, ours and other people's.

Owns discovery. A module here that holds a `DIRECTIVE` is a word; so is whatever an installed
package names in its entry points of the group ``k8sdns.directives``. There is no list to edit.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from k8sdns.corefile.settings import Directive
from k8sdns.errors import ConfigurationError

GROUP = "k8sdns.directives"


@cache
def discovered() -> Mapping[str, Directive]:
    """Return every directive by its word; raises ConfigurationError for a broken package.

    A process looks once: every folder of ``sys.path`` is read, in which time no question would be
    answered, and a module that was imported is not imported again anyway.
    """
    found: dict[str, Directive] = {}
    for directive, origin in [*_ours(), *_others()]:
        if directive.word in found:
            raise ConfigurationError(
                f"{origin} declares the directive '{directive.word}', which exists already: "
                "uninstall one of the packages"
            )
        found[directive.word] = directive
    return MappingProxyType(found)


def _ours() -> Iterator[tuple[Directive, str]]:
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        directive = getattr(importlib.import_module(module.name), "DIRECTIVE", None)
        if isinstance(directive, Directive):
            yield directive, module.name


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
