"""Addresses given out by name: the same names have the same addresses, in whatever order.

Owns: ranges, and who has which address in them. Refuses to know what it is that has a name.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from k8sdns.errors import ConfigurationError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_HASHED_TRIES = 8
_MAX_SPREAD = 1 << 24
_LOW = 256
# The letters of Kubernetes's own generated names: no vowels, hence no words.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"

SERVICE_CIDRS = ("10.96.0.0/12", "fd00:10:96::/112")
"""The service ranges where none are given; the first is kubeadm's default."""
POD_CIDRS = ("10.244.0.0/16", "fd00:10:244::/64")
"""The pod ranges where none are given."""


class BadRange(ConfigurationError):
    """A service or pod range that cannot be used; the message says why."""


class Ranges:
    """One range of each family, the first being the cluster's own (its primary family).

    `families` are "IPv4" and "IPv6", the primary one first.
    """

    def __init__(self, cidrs: Sequence[str], defaults: Sequence[str]) -> None:
        """Take `cidrs`; a family that they lack comes from `defaults`. Raises `BadRange`."""
        self._by_family: dict[str, Network] = {}
        for cidr in cidrs:
            network = _network(cidr)
            family = family_of(str(network.network_address))
            if family in self._by_family:
                raise BadRange(f"{cidr!r}: one {family} range is enough")
            self._by_family[family] = network
        for cidr in defaults:
            self._by_family.setdefault(family_of(cidr.partition("/")[0]), _network(cidr))
        self.families = tuple(self._by_family)

    def pool(self, family: str) -> Pool:
        """Return a pool of the range of `family` in which every address is free."""
        return Pool(self._by_family[family])

    def first(self, family: str) -> str:
        """Return the first address that a range of `family` gives out."""
        return str(self._by_family[family][1])


class Pool:
    """The free addresses of one range.

    An address follows from the name alone, by a hash; only where two names meet does the one that
    asks later step aside. Ask in sorted order, and the order of everything else does not matter.
    The lowest 256 addresses of a large range stay free for those that are named by hand.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        count = min(network.num_addresses, _MAX_SPREAD)
        self._low = _LOW if count > 4 * _LOW else 1
        # The last address of an IPv4 range is its broadcast address.
        self._count = count - self._low - 1
        self._taken: set[str] = set()

    def __str__(self) -> str:
        return str(self._network)

    def take(self, addresses: Iterable[str]) -> None:
        """Mark addresses as somebody's."""
        self._taken.update(addresses)

    def give(self, name: str) -> str | None:
        """Return the address of `name`, somebody's from now on; None if the range is full."""
        offset = 0
        for attempt in range(_HASHED_TRIES):
            offset = stable_hash(f"{name}#{attempt}") % self._count
            if (address := self._claim(offset)) is not None:
                return address
        for step in range(1, min(self._count, 1 << 16)):
            if (address := self._claim((offset + step) % self._count)) is not None:
                return address
        return None

    def _claim(self, offset: int) -> str | None:
        address = str(self._network[self._low + offset])
        if address in self._taken:
            return None
        self._taken.add(address)
        return address


def family_of(address: str) -> str:
    """Return "IPv6" or "IPv4", from the look of an address."""
    return "IPv6" if ":" in address else "IPv4"


def _network(cidr: str) -> Network:
    try:
        network = ipaddress.ip_network(cidr)
    except ValueError as error:
        raise BadRange(f"{cidr!r} is no address range: {error}") from None
    if network.num_addresses < 4:
        raise BadRange(f"{cidr!r} has room for nothing")
    return network


def stable_hash(text: str) -> int:
    """Return a number that follows from `text` alone, the same in every process."""
    return int.from_bytes(_digest(text, 8), "big")


def stable_letters(text: str, count: int) -> str:
    """Return `count` letters that follow from `text` alone, in place of random ones."""
    return "".join(_LETTERS[octet % len(_LETTERS)] for octet in _digest(text, count))


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=size).digest()
