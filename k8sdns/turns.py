"""The turns of the reactor's loop, made short. Only for a process that is all ours.

Owns: what happens between two looks at the descriptors. Refuses to know what descriptors are.

In each turn Twisted's loop goes through its timers and the calls of threads, due or not, and makes
a log context around each descriptor it reads, which our log lines do not show. Where few queries
come at a time, a turn costs more than the answer. What is due still goes first: a turn goes on to
the next poll only where the loop would find nothing to do.
"""

# ruff: noqa: SLF001 - a reactor's own loop has no other way in

from __future__ import annotations

import sys
from typing import Any, Final

# What is used of the reactor beside its interfaces; where it has changed, its own loop stays.
_INSIDE: Final = (
    "_doReadOrWrite",
    "_justStopped",
    "_poller",
    "_selectables",
    "threadCallQueue",
)


class Turns:
    """Does what `EPollReactor.doPoll` does, and more than once a turn."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._poll = reactor._poller.poll
        self._selectables = reactor._selectables
        self._serve = reactor._doReadOrWrite

    def take(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds, None for ever; then serve until something else is due."""
        poll, selectables = self._poll, self._selectables
        selectable_on, serve = selectables.get, self._serve
        while True:
            for descriptor, event in poll(timeout, len(selectables)):
                # An earlier one may have closed this one.
                selectable = selectable_on(descriptor)
                if selectable is not None:
                    serve(selectable, descriptor, event)
            timeout = self._until_due()
            if timeout == 0:
                return

    def _until_due(self) -> float | None:
        """Return how long the loop may wait, None for ever, 0 where it has other things to do."""
        reactor = self._reactor
        if reactor.threadCallQueue or reactor._justStopped or not reactor.running:
            return 0
        timeout: float | None = reactor.timeout()
        return timeout


def shorten(reactor: Any) -> bool:
    """Have `reactor` take short turns; tell whether it is of a kind that can."""
    module: Any = sys.modules.get("twisted.internet.epollreactor")
    # One that derives from it may have a loop of its own.
    if module is None or type(reactor) is not module.EPollReactor:
        return False
    if not all(hasattr(reactor, each) for each in _INSIDE):
        return False
    reactor.doIteration = Turns(reactor).take
    return True
