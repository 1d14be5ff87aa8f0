"""``reload``: look at the Corefile now and then, and serve what it says (CoreDNS plugin/reload)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Mistake, argument
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Reloads when the Corefile, or a file that it imports, says something else."""

    interval: float = argument(
        kinds.duration(name="INTERVAL"), default=30.0, help="How often to look, at least 2s."
    )
    jitter: float = argument(
        kinds.duration(name="JITTER"),
        default=15.0,
        help="Spread of the interval, 0 or at least 1s; at most half of the interval counts.",
    )

    def check(self, _context: Context) -> None:
        """Judge the two durations as CoreDNS does."""
        if self.interval < 2:
            raise Mistake("interval value must be greater or equal to 2s")
        if self.jitter and self.jitter < 1:
            raise Mistake("jitter value must be 0 or greater or equal to 1s")


class Looks(Service):
    """Looks again and again while the block that asks for it lives."""

    def __init__(
        self,
        clock: IReactorTime,
        reloads: Any,
        settings: Settings,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._reloads = reloads
        jitter = min(settings.jitter, settings.interval / 2)
        self._every = settings.interval + jitter * (draw() - 0.5)
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Say what runs, and begin to look."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reloads.say_hash()
        self._next()

    def _next(self) -> None:
        self._call = self._clock.callLater(self._every, self._look)

    def _look(self) -> None:
        self._call = None
        self._reloads.reload_if_changed().addCallback(self._looked)

    def _looked(self, _result: None) -> None:
        # A reload has stopped this very service if it succeeded.
        if self.running:
            self._next()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._call is not None:
            self._call.cancel()
            self._call = None


def install(settings: Settings, block: BlockDraft) -> None:
    """Look at the Corefile while this block lives; several blocks look once."""
    context = block.context
    key = ("reload", settings, id(context.plan))
    context.share.take(key, lambda: Looks(context.clock, context.reloads, settings))


DIRECTIVE = Directive(
    "reload",
    Settings,
    install=install,
    roles=("parent",),
    summary="Serve a changed Corefile without a restart.",
)
