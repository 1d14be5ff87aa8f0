"""The mark of mark and sweep: which objects of a table a listing has not named yet.

Owns the copying of a large table's keys in small steps: a part of it just before anything in that
part is touched, so that neither the beginning of a listing nor its end takes long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from k8sdns.cluster.model import Key, Thing
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.sharded import Sharded, part_of


class Unseen:
    """The keys that `table` held when this was made, less those that were `discard`-ed since.

    Tell of every key before the table changes there.
    """

    __slots__ = ("_left", "_parts")

    def __init__(self, table: Sharded[Key, Thing] | Packed[Any]) -> None:
        self._parts: tuple[Collection[Key], ...] = table.parts
        self._left: dict[int, set[Key]] = {}

    def discard(self, key: Key) -> None:
        """Take note that `key` was named, or is gone."""
        self._left_beside(key).discard(key)

    def add(self, key: Key) -> None:
        """Take note of a key that was put into the table and is still to be named."""
        self._left_beside(key).add(key)

    def __iter__(self) -> Iterator[Key]:
        """Yield what is left; the table may change meanwhile."""
        for number, part in enumerate(self._parts):
            yield from tuple(self._left.get(number, part))

    def _left_beside(self, key: Key) -> set[Key]:
        number = part_of(key)
        left = self._left.get(number)
        if left is None:
            left = self._left[number] = set(self._parts[number])
        return left
