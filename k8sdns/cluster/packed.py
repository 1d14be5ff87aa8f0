"""A table of objects that keeps octets: where there are many, and few of them are asked for.

Owns the exchange of time for memory: an object that is looked up is decoded anew, in three to five
microseconds, and takes a quarter of the space meanwhile. Refuses to know what the objects are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from k8sdns.cluster.model import Key
from k8sdns.cluster.sharded import Sharded

T = TypeVar("T")

_encode: Final[Callable[[Any], bytes]] = msgspec.msgpack.Encoder().encode


class Packed(MutableMapping[Key, T], Generic[T]):
    """Objects of a type by key."""

    __slots__ = ("_decode", "_octets")

    def __init__(self, type_: Any) -> None:
        self._octets: Sharded[Key, bytes] = Sharded()
        self._decode: Callable[[bytes], T] = msgspec.msgpack.Decoder(type_).decode

    @property
    def parts(self) -> tuple[dict[Key, bytes], ...]:
        """The dicts that the octets are in (see `Sharded`)."""
        return self._octets.parts

    def __getitem__(self, key: Key) -> T:
        return self._decode(self._octets[key])

    def __setitem__(self, key: Key, thing: T) -> None:
        self._octets[key] = _encode(thing)

    def __delitem__(self, key: Key) -> None:
        del self._octets[key]

    def __contains__(self, key: object) -> bool:
        return key in self._octets

    def __iter__(self) -> Iterator[Key]:
        return iter(self._octets)

    def __len__(self) -> int:
        return len(self._octets)

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the object at `key`, else `default`."""
        octets = self._octets.get(key)
        return default if octets is None else self._decode(octets)

    def held(self) -> Iterator[T]:
        """Return an iterator of the objects that there are now, each decoded when it is reached."""
        return map(self._decode, list(self._octets.values()))
