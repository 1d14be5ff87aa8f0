"""``loadbalance``: any of several addresses may come first (CoreDNS plugin/loadbalance)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from zope.interface import implementer

from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.interfaces import IRotation
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Turns the addresses of an answer, so that clients spread over them."""

    policy: str = argument(
        kinds.choice("round_robin", complaint="unknown policy: {}"),
        default="round_robin",
        help="Each address comes first equally often.",
    )


@implementer(IRotation)
class RoundRobin:
    """Begins at any address with the same probability; the others follow in turn.

    CoreDNS shuffles. Which address comes first is what clients go by, and turning costs the
    writer two slices.
    """

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw

    def first(self, _question: Question, _answer: Answer, count: int) -> int:
        """Return which of `count` addresses comes first."""
        return int(self._draw() * count)


def install(_settings: Settings, block: BlockDraft) -> None:
    """Add the rotation."""
    block.add(RoundRobin())


DIRECTIVE = Directive(
    "loadbalance", Settings, install=install, summary="Spread clients over the addresses."
)
