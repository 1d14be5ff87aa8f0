"""A mapping in many small dicts, for tables that hold a hundred thousand things.

Owns how a large table grows: a dict of 100,000 entries takes several milliseconds to make room for
more, in one step in which no question is answered; each of these takes a tenth of one at most.
Refuses to know what is kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, MutableMapping, ValuesView
from itertools import chain
from typing import Any, Final, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PARTS: Final = 64  # a power of two
_MASK: Final = PARTS - 1


def part_of(key: Hashable) -> int:
    """Return the number of the dict that `key` belongs into."""
    return hash(key) & _MASK


class Sharded(MutableMapping[K, V]):
    """Behaves as a dict does, but that its order is no order of insertion."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: tuple[dict[K, V], ...] = tuple({} for _ in range(PARTS))

    def __getitem__(self, key: K) -> V:
        return self.parts[hash(key) & _MASK][key]

    def __setitem__(self, key: K, value: V) -> None:
        self.parts[hash(key) & _MASK][key] = value

    def __delitem__(self, key: K) -> None:
        del self.parts[hash(key) & _MASK][key]

    def __contains__(self, key: object) -> bool:
        return key in self.parts[hash(key) & _MASK]

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self.parts)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def part(self, key: K) -> dict[K, V]:
        """Return the dict that `key` belongs into, for who does several things with it."""
        return self.parts[hash(key) & _MASK]

    def get(self, key: K, default: Any = None) -> Any:
        """Return what is kept under `key`."""
        return self.parts[hash(key) & _MASK].get(key, default)

    def pop(self, key: K, *default: Any) -> Any:
        """Take out what is kept under `key`."""
        return self.parts[hash(key) & _MASK].pop(key, *default)

    def values(self) -> ValuesView[V]:
        """Return a live view of the values, which is walked without a lookup for each."""
        return _Values(self)


class _Values(ValuesView[V]):
    def __init__(self, sharded: Sharded[Any, V]) -> None:
        super().__init__(sharded)
        self._parts = sharded.parts

    def __iter__(self) -> Iterator[V]:
        return chain.from_iterable(part.values() for part in self._parts)
