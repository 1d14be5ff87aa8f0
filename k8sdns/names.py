r"""Domain names as lower-case wire bytes; text exists at the edges only.

Owns: conversion between text and wire, matching at label boundaries, the reverse trees.
Refuses to know messages, records and compression.

A *name* here is uncompressed wire form (RFC 1035 §3.1), the root label included:
``b"\x03www\x07example\x00"``. Matching walks labels: a label may contain the bytes of a
shorter name, so ``endswith`` alone proves nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from k8sdns.errors import K8sDNSError

ROOT: Final[bytes] = b"\x00"
MAX_NAME_OCTETS: Final = 255
MAX_LABEL_OCTETS: Final = 63

_IN_ADDR: Final = b"\x07in-addr\x04arpa\x00"
_IP6: Final = b"\x03ip6\x04arpa\x00"

# Octets that must be escaped in text (RFC 1035 §5.1, RFC 4343 §2.1).
_SPECIAL: Final = frozenset(b'."();@$\\')

V = TypeVar("V")


class BadName(K8sDNSError):
    """Text that is no domain name; the message says which rule it breaks."""


def labels_of(name: bytes) -> list[bytes]:
    """Return the labels of `name`, leftmost first, without the root label."""
    labels = []
    at = 0
    while length := name[at]:
        labels.append(name[at + 1 : at + 1 + length])
        at += length + 1
    return labels


def from_labels(labels: Iterable[bytes], suffix: bytes = ROOT) -> bytes:
    """Return the name made of `labels` in front of `suffix`; raises `BadName` if too long."""
    parts = []
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL_OCTETS:
            raise BadName(f"a label has 1 to {MAX_LABEL_OCTETS} octets, this one {len(label)}")
        parts.append(bytes((len(label),)) + label)
    name = b"".join(parts) + suffix
    if len(name) > MAX_NAME_OCTETS:
        raise BadName(f"a name has at most {MAX_NAME_OCTETS} octets, this one {len(name)}")
    return name


def from_text(text: str, *, lower: bool = True) -> bytes:
    r"""Return the wire form of `text`, a trailing dot or not, ``\.`` and ``\DDD`` understood.

    Raises `BadName` for an empty label, a label over 63 octets or a name over 255.
    """
    if text in {".", ""}:
        if text == "":
            raise BadName("a domain name cannot be empty")
        return ROOT
    name = from_labels(_text_labels(text))
    return name.lower() if lower else name


def _text_labels(text: str) -> Iterator[bytes]:
    octets = text.encode("utf-8")
    label = bytearray()
    at = 0
    while at < len(octets):
        octet = octets[at]
        if octet == 0x5C:
            taken, value = _escape(octets, at)
            label.append(value)
            at += taken
            continue
        if octet == 0x2E:
            if not label:
                raise BadName(f"{text!r} has an empty label")
            yield bytes(label)
            label.clear()
        else:
            label.append(octet)
        at += 1
    if label:
        yield bytes(label)


def _escape(octets: bytes, at: int) -> tuple[int, int]:
    r"""Read the escape at `at`; return how many octets it takes and its value."""
    digits = octets[at + 1 : at + 4]
    if len(digits) == 3 and digits.isdigit():
        value = int(digits)
        if value > 255:
            raise BadName(f"\\{digits.decode()} is no octet")
        return 4, value
    if at + 1 >= len(octets):
        raise BadName("a name cannot end in a backslash")
    return 2, octets[at + 1]


def to_text(name: bytes) -> str:
    r"""Return `name` as text with its final dot, special octets escaped (RFC 1035 §5.1)."""
    if name == ROOT:
        return "."
    return "".join(label_text(label) + "." for label in labels_of(name))


def label_text(label: bytes) -> str:
    """Return one label as text, special octets escaped."""
    if label.isalnum():
        return label.decode("ascii")
    return "".join(_octet_text(octet) for octet in label)


def _octet_text(octet: int) -> str:
    if octet in _SPECIAL:
        return "\\" + chr(octet)
    if 0x21 <= octet <= 0x7E:
        return chr(octet)
    return f"\\{octet:03d}"


def suffix_offset(name: bytes, zone: bytes) -> int:
    """Return where `zone` begins inside `name`, at a label boundary; -1 if `name` is not in it."""
    at = len(name) - len(zone)
    if at < 0 or name[at:] != zone:
        return -1
    walk = 0
    while walk < at:
        walk += name[walk] + 1
    return at if walk == at else -1


def is_subdomain(name: bytes, zone: bytes) -> bool:
    """Tell whether `name` is `zone` or below it (RFC 9499 §7: subdomain, itself included)."""
    return suffix_offset(name, zone) >= 0


def suffixes(name: bytes) -> Iterator[bytes]:
    """Yield `name` and then every ancestor of it, the root last."""
    at = 0
    while length := name[at]:
        yield name[at:]
        at += length + 1
    yield ROOT


class ZoneMap(Generic[V]):
    """Values by zone, found by the longest zone that encloses a name."""

    __slots__ = ("_by_zone", "_longest")

    def __init__(self, items: Iterable[tuple[bytes, V]] = ()) -> None:
        self._by_zone: dict[bytes, V] = dict(items)
        self._longest = max((len(zone) for zone in self._by_zone), default=0)

    def __len__(self) -> int:
        return len(self._by_zone)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._by_zone)

    def get(self, zone: bytes) -> V | None:
        """Return the value of exactly this zone."""
        return self._by_zone.get(zone)

    def find(self, name: bytes) -> tuple[bytes, V] | None:
        """Return (zone, value) of the longest zone that encloses `name`, or None."""
        by_zone = self._by_zone
        at = 0
        while True:
            zone = name[at:]
            if zone in by_zone:
                return zone, by_zone[zone]
            if not name[at]:
                return None
            at += name[at] + 1


def reverse_name(address: str) -> bytes:
    """Return the name of an address's PTR records (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return from_text(ipaddress.ip_address(address).reverse_pointer)


def address_of(name: bytes) -> str | None:
    """Return the address that a full reverse name stands for, in canonical text; else None."""
    if name.endswith(_IN_ADDR):
        return _ipv4_of(labels_of(name)[:-2])
    if name.endswith(_IP6):
        return _ipv6_of(labels_of(name)[:-2])
    return None


def _ipv4_of(labels: list[bytes]) -> str | None:
    if len(labels) != 4 or not all(label.isdigit() for label in labels):
        return None
    text = b".".join(reversed(labels)).decode("ascii")
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        return None


def _ipv6_of(labels: list[bytes]) -> str | None:
    if len(labels) != 32 or any(len(label) != 1 for label in labels):
        return None
    try:
        packed = bytes.fromhex(b"".join(reversed(labels)).decode("ascii"))
        return str(ipaddress.IPv6Address(packed))
    except ValueError:
        return None
