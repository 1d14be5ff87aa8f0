"""``loadbalance``: any of several addresses may come first (CoreDNS plugin/loadbalance)."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from dataclasses import dataclass

from zope.interface import implementer

from k8sdns.answers import Answer, Question
from k8sdns.authorities.acl import Network
from k8sdns.authorities.loadbalance import (
    AddressOrder,
    BadWeights,
    Order,
    Preferred,
    Shuffled,
    Weighted,
    WeightFile,
    read_weights,
)
from k8sdns.authorities.polling import finished
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Mistake, argument, option, options
from k8sdns.interfaces import IRotation
from k8sdns.server.draft import BlockDraft

ROUND_ROBIN, WEIGHTED = "round_robin", "weighted"
_RELOAD = 30.0


def _network(word: str) -> Network:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(f"invalid CIDR '{word}'") from None


@dataclass(frozen=True)
class Settings:
    """Turns the addresses of an answer, so that clients spread over them."""

    policy: str = argument(
        kinds.choice(ROUND_ROBIN, WEIGHTED, complaint="unknown policy: {}"),
        default=ROUND_ROBIN,
        help="Who comes first: each equally often, or each by its weight.",
    )
    file: str = argument(
        kinds.path(), default="", help="The weights; `weighted` needs them.", shown=""
    )
    reload: float | None = option(
        kinds.duration(0),
        default=None,
        help="How often to look whether the weight file changed; 0 is never.",
        shown="30s",
    )
    prefer: tuple[Network, ...] = options(
        kinds.of_text("CIDR", "ranges of addresses", _network),
        help="Addresses in these networks come first, in the order of the networks.",
    )

    USAGE = "loadbalance [round_robin | weighted FILE] {\n    reload DURATION\n    prefer CIDR…\n}"

    def check(self, context: Context) -> None:
        """The weight file belongs to `weighted`, and should be there."""
        if self.policy == ROUND_ROBIN:
            if self.file:
                raise Mistake(f"unexpected argument(s): {self.policy} takes none")
            if self.reload is not None:
                raise Mistake("reload is for the file of weighted", "reload")
            return
        if not self.file:
            raise Mistake("missing weight file argument")
        try:
            finished(read_weights(self.file))
        except BadWeights as error:
            raise Mistake(str(error)) from None
        except OSError as error:
            message = f"Failed to open weight file: {self.file}: {error.strerror}"
            if self.reload == 0:
                raise Mistake(message) from None
            context.warnings.append(f"plugin/loadbalance: {message}")


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


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the rotation, or a stage that orders addresses where turning is not enough."""
    if settings.policy == WEIGHTED:
        period = _RELOAD if settings.reload is None else settings.reload
        file = WeightFile(block.context.clock, settings.file, period)
        block.add(file)
        block.add(AddressOrder.weighted(_preferring(settings, Weighted(file))))
    elif settings.prefer:
        block.add(AddressOrder(_preferring(settings, Shuffled())))
    else:
        block.add(RoundRobin())


def _preferring(settings: Settings, order: Order) -> Order:
    return Preferred(settings.prefer, order) if settings.prefer else order


DIRECTIVE = Directive(
    "loadbalance", Settings, install=install, summary="Spread clients over the addresses."
)
