"""Ways to find cluster objects by what a question holds: an address, or labels off the wire.

Owns: the reverse lookups. Refuses to know why anybody looks, and when objects change.

Indexes give the same result whatever the order in which things were added: several things under
one address come out in the order of their keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from k8sdns.cluster.model import EndpointSlice, Pod, Service, key_of
from k8sdns.cluster.sharded import Sharded

T = TypeVar("T", bound=Service | EndpointSlice | Pod)


class AddressIndex(Generic[T]):
    """Things by address text, several to an address (host network Pods, overlapping slices).

    An address with one thing, nearly every one, costs one entry and nothing else.
    """

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: Sharded[str, T | tuple[T, ...]] = Sharded()

    def add(self, addresses: Iterable[str], thing: T) -> None:
        """File `thing` under each of `addresses`, which are distinct."""
        part = self._by_address.part
        for address in addresses:
            known = part(address)
            there: T | tuple[T, ...] | None = known.get(address)
            if there is None:
                known[address] = thing
            else:
                known[address] = tuple(sorted((*_several(there), thing), key=key_of))

    def discard(self, addresses: Iterable[str], thing: T) -> None:
        """Take `thing`, found by its key, from under each of `addresses`."""
        part = self._by_address.part
        for address in addresses:
            known = part(address)
            left = tuple(t for t in _several(known.get(address)) if key_of(t) != key_of(thing))
            if len(left) > 1:
                known[address] = left
            elif left:
                known[address] = left[0]
            else:
                known.pop(address, None)

    def first(self, address: str) -> T | None:
        """Return the thing at `address` whose key sorts first, or None."""
        there: T | tuple[T, ...] | None = self._by_address.get(address)
        return there[0] if isinstance(there, tuple) else there

    def all(self, address: str) -> tuple[T, ...]:
        """Return every thing at `address`, in the order of their keys."""
        return _several(self._by_address.get(address))


def _several(there: T | tuple[T, ...] | None) -> tuple[T, ...]:
    if there is None:
        return ()
    return there if isinstance(there, tuple) else (there,)


def label_of(name: str) -> bytes | None:
    """Return `name` as the lower-case label that a question would hold, or None.

    Kubernetes names are lower-case ASCII (RFC 1123 labels); what is not cannot be asked for, and
    two such names must not meet under one label.
    """
    if not name or len(name) > 63 or not name.isascii() or name != name.lower():
        return None
    return name.encode("ascii")


def endpoint_addresses(piece: EndpointSlice) -> set[str]:
    """Return the distinct addresses of a slice's endpoints."""
    return {endpoint.address for endpoint in piece.endpoints}


def virtual_addresses(service: Service) -> set[str]:
    """Return the distinct cluster addresses of a Service; none if it is headless or external."""
    return {address for address in service.cluster_ips if address not in {"None", ""}}
