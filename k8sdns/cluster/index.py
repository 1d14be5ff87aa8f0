"""Ways to find cluster objects by what a question holds: an address, or labels off the wire.

Owns: the reverse lookups. Refuses to know why anybody looks, and when objects change.

An index holds keys: what it leads to is looked up in the table of its kind. It gives the same
result whatever the order in which things were added: several keys at one address are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable

from k8sdns.cluster.model import EndpointSlice, Key, Service
from k8sdns.cluster.sharded import Sharded


class _Several(tuple[Key, ...]):
    """Keys at one address; a class of its own, because a key is a tuple too."""

    __slots__ = ()


class AddressIndex:
    """Keys by address text, several to an address (host network Pods, overlapping slices).

    An address with one key, nearly every one, costs one entry and nothing else.
    """

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: Sharded[str, Key | _Several] = Sharded()

    def add(self, addresses: Iterable[str], key: Key) -> None:
        """File `key` under each of `addresses`, which are distinct."""
        part = self._by_address.part
        for address in addresses:
            known = part(address)
            there = known.get(address)
            known[address] = key if there is None else _Several(sorted((*_all(there), key)))

    def discard(self, addresses: Iterable[str], key: Key) -> None:
        """Take `key` from under each of `addresses`."""
        part = self._by_address.part
        for address in addresses:
            known = part(address)
            left = [each for each in _all(known.get(address)) if each != key]
            if len(left) > 1:
                known[address] = _Several(left)
            elif left:
                known[address] = left[0]
            else:
                known.pop(address, None)

    def first(self, address: str) -> Key | None:
        """Return the first key at `address`, or None."""
        there: Key | _Several | None = self._by_address.get(address)
        return there[0] if isinstance(there, _Several) else there

    def all(self, address: str) -> tuple[Key, ...]:
        """Return every key at `address`, sorted."""
        return _all(self._by_address.get(address))


def _all(there: Key | _Several | None) -> tuple[Key, ...]:
    if there is None:
        return ()
    return there if isinstance(there, _Several) else (there,)


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
