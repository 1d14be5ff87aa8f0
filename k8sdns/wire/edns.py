"""EDNS: the OPT record of queries and of replies (RFC 6891).

Owns both directions of OPT. Refuses to know what options mean: a directive asks for the ones it
understands, and puts its own into an Answer. Nothing a client sent is echoed.
"""

from __future__ import annotations

import struct
from typing import Final

from k8sdns.answers import Edns
from k8sdns.errors import WireError

MIN_PAYLOAD: Final = 512  # smaller sizes count as this (RFC 6891 §6.2.5)
DEFAULT_PAYLOAD: Final = 1232  # fits any path without fragments (RFC 9715 §3)
OPT_OCTETS: Final = 11  # an OPT record without options

DO: Final = 0x8000
_HEAD: Final = struct.Struct("!BHHIH")
_OPTION: Final = struct.Struct("!HH")

# OPT records without options recur from client to client; sizes are a handful, so a small table
# answers nearly always. Bounded: a flood of odd sizes merely stops it from growing.
_PLAIN: Final[dict[bytes, Edns]] = {}
_PLAIN_BOUND: Final = 256
_REPLIES: Final[dict[tuple[int, bool], bytes]] = {}


def from_octets(octets: bytes) -> Edns | None:
    """Return the Edns of `octets` if they are exactly one OPT record without options, else None."""
    known = _PLAIN.get(octets)
    if known is not None:
        return known
    if len(octets) != OPT_OCTETS or octets[:3] != b"\x00\x00\x29" or octets[9:] != b"\x00\x00":
        return None
    _root, _type, size, ttl, _length = _HEAD.unpack(octets)
    edns = from_record(size, ttl, b"")
    if len(_PLAIN) < _PLAIN_BOUND:
        _PLAIN[octets] = edns
    return edns


def from_record(rclass: int, ttl: int, rdata: bytes) -> Edns:
    """Return the Edns of an OPT record's class, TTL and rdata; raises WireError for bad options."""
    version = ttl >> 16 & 0xFF
    flags = ttl & 0xFFFF
    return Edns(rclass, bool(flags & DO), version, _options(rdata), flags & 0x7FFF)


def _options(rdata: bytes) -> tuple[tuple[int, bytes], ...]:
    found = []
    at = 0
    while at < len(rdata):
        if at + 4 > len(rdata):
            raise WireError("an EDNS option is cut short")
        code, length = _OPTION.unpack_from(rdata, at)
        at += 4
        if at + length > len(rdata):
            raise WireError("an EDNS option is longer than its record")
        found.append((code, rdata[at : at + length]))
        at += length
    return tuple(found)


def opt(
    payload_size: int, *, do: bool, rcode: int = 0, options: tuple[tuple[int, bytes], ...] = ()
) -> bytes:
    """Return an OPT record: our payload size, DO, the upper bits of a 12-bit RCODE, options."""
    if not options and rcode < 16:
        return _plain_opt(payload_size, do)
    rdata = option_octets(options)
    return (
        _HEAD.pack(0, 41, payload_size, (rcode >> 4) << 24 | (DO if do else 0), len(rdata)) + rdata
    )


def option_octets(options: tuple[tuple[int, bytes], ...]) -> bytes:
    """Return options as they stand in the rdata of OPT (RFC 6891 §6.1.2)."""
    return b"".join(_OPTION.pack(code, len(value)) + value for code, value in options)


def _plain_opt(payload_size: int, do: bool) -> bytes:
    known = _REPLIES.get((payload_size, do))
    if known is None:
        known = _HEAD.pack(0, 41, payload_size, DO if do else 0, 0)
        if len(_REPLIES) < _PLAIN_BOUND:
            _REPLIES[payload_size, do] = known
    return known
