"""The garbage collector, kept out of the way of answers. Only for a process that is all ours.

Owns: when the collector looks at what, in a process that lives long and makes few cycles.
Refuses to know what those objects are.

What a server is made of (modules, its object graph, the indexes of the store) lives as long as the
process, and a full collection walks through all of it while questions wait. Once frozen it is left
alone; what is frozen is never freed either, so that after a reload everything is thawed, looked at
once, and frozen again.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 100)
"""Objects made before a young collection, young ones before a middle one, those before a full one:
a server makes tuples and records that die by themselves, and hardly ever a cycle."""


def settle() -> int:
    """Free what is unreachable now, and never look at the rest again; returns how many were freed.

    Takes tens of milliseconds: call it after a start or a reload, not while serving.
    """
    gc.set_threshold(*THRESHOLDS)
    gc.unfreeze()
    freed = gc.collect()
    gc.freeze()
    return freed
