"""A directive: a word of the Corefile, its settings, and what it adds to a server block.

Owns: what a directive module declares. Refuses to know the server: its block is whatever the
installing functions take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Directive:
    """A word of the Corefile: its settings, and what it adds to a server block.

    `install` and `connect` are called with the settings and the server's block: first all
    installs, in chain order, then all connects. With `once` the settings are one value and a second
    stanza in a block is refused; without it they are a tuple, one value a stanza, in the order of
    the file. `follows` places a word that is not CoreDNS's: right behind that word. `summary` is
    one sentence.

    A server of several processes (`multisocket`) installs a directive in those of its `roles`:
    "worker" answers queries, "parent" is there once and has the pages, "feeder" is there once and
    watches for all workers what is too dear to be watched by each.
    """

    word: str
    settings: type[Any]
    install: Callable[..., None] | None
    connect: Callable[..., None] | None = None
    once: bool = True
    follows: str | None = None
    summary: str = ""
    roles: tuple[str, ...] = ("worker",)
