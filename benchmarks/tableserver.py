"""k8sdns under twistd, which tells on SIGUSR2 how full its tables are and what its memory is.

``tableserver.py FILE ARGUMENTS-OF-TWISTD`` writes one JSON object of numbers to FILE:
    replies, outdated   replies that can be given again, and those of them that are wrong by now
    sightings           queries that were seen once
    answers             positive Answers
    objects, addresses  of the store, and entries of its indexes by address
    globals             entries of every table that a module of k8sdns holds
    blocks              objects that Python holds (`sys.getallocatedblocks`)
    heap_kib, free_kib  of the C heap: in use, and kept by the C library for later (mallinfo2(3))
What grows while these do not is memory that is free but in pieces.
"""

# ruff: noqa: SLF001 - it counts what is inside

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from twisted.scripts.twistd import run

from k8sdns.authorities.memo import Memo
from k8sdns.cluster.store import Store
from k8sdns.server.repeats import Repeater

Sizes = dict[str, int]
_TABLES = (dict, list, set, deque)


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc, in octets."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    )  # fmt: skip


class Known:
    """The objects of some classes that are alive."""

    def __init__(self, *kinds: type) -> None:
        self._found: dict[type, weakref.WeakValueDictionary[int, Any]] = {}
        for kind in kinds:
            self._found[kind] = weakref.WeakValueDictionary()
            self._follow(kind)

    def _follow(self, kind: Any) -> None:
        found, plain = self._found[kind], kind.__init__

        def noted(self: Any, *arguments: Any, **options: Any) -> None:
            found[id(self)] = self
            plain(self, *arguments, **options)

        kind.__init__ = noted

    def of(self, kind: type) -> list[Any]:
        """Return those of one class."""
        return list(self._found[kind].values())


def sizes(known: Known, memos: list[Memo]) -> Sizes:
    """Return how full everything is."""
    stores = known.of(Store)
    replies = [each for repeater in known.of(Repeater) for each in repeater._replies.values()]
    return {
        "replies": len(replies),
        "outdated": sum(not each.answer.is_current for each in replies),
        "sightings": sum(len(each._seen_once) for each in known.of(Repeater)),
        "answers": sum(len(each.answers) for each in memos),
        "objects": sum(len(table) for store in stores for table in store._tables.values()),
        "addresses": sum(sum(map(len, _indexes(store))) for store in stores),
        "globals": sum(len(table) for table in _globals()),
        "blocks": sys.getallocatedblocks(),
        **_heap(),
    }


def _indexes(store: Store) -> Iterator[Any]:
    for index in (store._slices_by_ip, store._services_by_ip, store._pods_by_ip):
        yield index._by_address


def _globals() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.startswith("k8sdns"):
            yield from (each for each in vars(module).values() if isinstance(each, _TABLES))


def _heap() -> Sizes:
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:  # another C library
        return {}
    mallinfo.restype = Mallinfo
    found = mallinfo()
    return {
        "heap_kib": (found.uordblks + found.hblkhd) // 1024,
        "free_kib": found.fordblks // 1024,
    }


def main() -> None:
    """Run twistd."""
    path = sys.argv.pop(1)
    known = Known(Repeater, Store)
    memos: list[Memo] = []
    plain = Memo.__init__

    def noted(self: Memo, *arguments: Any) -> None:
        # A class with slots: nothing can refer to it weakly. A reload adds one, emptied by then.
        memos.append(self)
        plain(self, *arguments)

    Memo.__init__ = noted  # type: ignore[method-assign]

    def tell(*_: object) -> None:
        with open(path + ".new", "w") as file:
            json.dump(sizes(known, memos), file)
        os.replace(path + ".new", path)

    signal.signal(signal.SIGUSR2, tell)
    run()


if __name__ == "__main__":
    main()
