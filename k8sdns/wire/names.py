"""Names inside messages: unpacking with compression pointers, strictly.

Owns the one loop that follows pointers. A pointer must lead to before the place where the name
that holds it began, so every jump goes back and no chain of them can loop (the fault behind
CVE-2026-42304); a name has at most 255 octets and 127 labels (RFC 1035 §3.1, §4.1.4), and so no
use for more pointers than that: in a long message many names could share one chain of thousands.
"""

from __future__ import annotations

from typing import Final

from k8sdns.errors import WireError
from k8sdns.names import MAX_NAME_OCTETS

MAX_POINTERS: Final = 126  # of one name, as miekg/dns bounds them


def unpack(message: bytes, at: int) -> tuple[bytes, int]:
    """Return the name at `at`, uncompressed and in its own letters, and where reading goes on.

    Raises WireError for a name that leaves the message, is too long, or points anywhere but back.
    """
    parts: list[bytes] = []
    octets = 1
    resume = -1
    floor = at
    pointers = 0
    try:
        while length := message[at]:
            if length < 0x40:
                end = at + 1 + length
                part = message[at:end]
                octets += len(part)
                if len(part) != length + 1 or octets > MAX_NAME_OCTETS:
                    raise WireError("a name runs past its bounds")
                parts.append(part)
                at = end
            elif length >= 0xC0:
                target = (length & 0x3F) << 8 | message[at + 1]
                if target >= floor:
                    raise WireError("a compression pointer does not lead back")
                pointers += 1
                if pointers > MAX_POINTERS:
                    raise WireError("a name has too many compression pointers")
                if resume < 0:
                    resume = at + 2
                at = floor = target
            else:
                raise WireError("a label type that does not exist")
    except IndexError:
        raise WireError("a name runs past the end of the message") from None
    parts.append(b"\x00")
    return b"".join(parts), at + 1 if resume < 0 else resume
