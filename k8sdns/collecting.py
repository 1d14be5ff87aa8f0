"""The garbage collector, kept out of the way of answers. Only for a process that is all ours.

Owns: when the collector looks at what, in a process that lives long and makes few cycles.
Refuses to know what those objects are.

Most of what a process holds, its modules, lives as long as the process, and a full collection walks
through all of it while questions wait. Frozen before the first question it is never looked at
again. What a reload leaves behind was made later, so that it is found without thawing anything:
thawing would bring the long pause back with every reload.
"""

from __future__ import annotations

import gc

THRESHOLDS = (1_000, 1, 7_000)
"""Objects made before a young collection, young ones before a middle one, those before a full one.

A server makes tuples and records that die by themselves, and hardly ever a cycle. A first listing,
and the first questions after a reload, make many that live. To look at a living object costs 0.2 to
1.3 us, once in a young collection and once in a middle one, however few make up one pause. A middle
one looks at what three young ones would; where that were five, it took 6 ms. Fewer than a thousand
have what waits for upstreams looked at more often: 4 % of the CPU of an outside name at 500.
"""


SWEPT_EVERY = 20
"""Reloads between two sweeps. One leaves some hundred objects in cycles, tens of kilobytes; a sweep
takes up to 50 ms in a server that remembers many answers."""


READ_BETWEEN = 256 * 1024
"""Octets of API objects after which the young are collected, whatever Python's own count says.

Python counts what is made less what is freed. Where each new object replaces an old one the count
stands still, while the new ones gather: 25,000 of them were once looked at in one pause of 13 ms.
"""


class Gatherings:
    """Tells, of what is read, when so much has gathered that the young should be collected.

    Every other time those that were young before are, too: Python would leave them to a middle
    collection of its own, which comes by when many have gathered.
    """

    def __init__(self) -> None:
        self._read = 0
        self._generation = 0

    def read(self, octets: int) -> None:
        """Take note of so many octets, and collect if it is time."""
        self._read += octets
        if self._read >= READ_BETWEEN:
            self._read = 0
            gc.collect(self._generation)
            self._generation = 1 - self._generation


class Collector:
    """The collector of one process, told when something begins and ends."""

    def __init__(self) -> None:
        self._reloads = 0

    def settle(self) -> None:
        """Free what is unreachable now, and never look at the rest again.

        Takes a tenth of a second: call it before questions are answered, once modules are loaded.
        """
        gc.set_threshold(*THRESHOLDS)
        gc.collect()
        gc.freeze()

    def reloaded(self) -> None:
        """Take note of a reload, and free what several of them left behind."""
        self._reloads += 1
        if self._reloads % SWEPT_EVERY == 0:
            gc.collect()
