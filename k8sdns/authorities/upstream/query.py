"""What an upstream is asked, as octets, and whether a message answers it.

Owns our own EDNS towards upstreams: the client's OPT record ends here (RFC 6891 §7 makes it
hop-by-hop). Refuses to know transports.
"""

from __future__ import annotations

from k8sdns.answers import AD, CD, RD, Question
from k8sdns.wire import edns
from k8sdns.wire.reader import HEADER_OCTETS, OPCODE_BITS

PASSED_ON = OPCODE_BITS | RD | AD | CD  # header bits that the upstream gets from the client

_COUNTS = b"\x00\x01\x00\x00\x00\x00\x00\x01"
_COUNTS_PLAIN = b"\x00\x01\x00\x00\x00\x00\x00\x00"


# What stands between id and question, by flags, for a query with an OPT record: few, see PASSED_ON.
_HEADS: dict[int, bytes] = {}


def octets_behind_id(wire: bytes, flags: int, opt: bytes) -> bytes:
    """Return the octets of a query, all but its id; `opt` is its OPT record."""
    head = _HEADS.get(flags)
    if head is None:
        head = _HEADS[flags] = flags.to_bytes(2, "big") + _COUNTS
    return head + wire + opt


class Query:
    """One question for upstreams; the same octets, `rest`, go to each behind an id of its own."""

    __slots__ = ("flags", "has_edns", "rest", "wire")

    def __init__(self, wire: bytes, flags: int, opt: bytes) -> None:
        self.wire = wire
        self.flags = flags
        self.has_edns = bool(opt)
        self.rest = flags.to_bytes(2, "big") + (_COUNTS if opt else _COUNTS_PLAIN) + wire + opt

    def octets(self, id_: int) -> bytes:
        """Return the message with this id."""
        return id_.to_bytes(2, "big") + self.rest

    def without_edns(self) -> Query:
        """Return the same query for a server that does not know EDNS (RFC 6891 §7)."""
        return Query(self.wire, self.flags, b"")

    def is_answered_by(self, message: bytes) -> bool:
        """Tell whether `message` is a response that repeats our question (RFC 5452 §4.2).

        Letters of the name may differ in case: some servers give them back in lower case.
        """
        wire = self.wire
        end = HEADER_OCTETS + len(wire)
        if len(message) < end or not message[2] & 0x80 or message[4:6] != b"\x00\x01":
            return False
        if (message[2] ^ self.flags >> 8) & 0x78:
            return False
        repeated = message[HEADER_OCTETS:end]
        return repeated == wire or (
            repeated[-4:] == wire[-4:] and repeated[:-4].lower() == wire[:-4].lower()
        )


def query_of(question: Question) -> Query:
    """Return what upstreams are asked for a client's question."""
    client = question.edns
    opt = our_opt(client is not None and client.do, question.upstream_options)
    return Query(question.wire, question.flags & PASSED_ON, opt)


_OUR_OPT = tuple(edns.opt(edns.DEFAULT_PAYLOAD, do=do) for do in (False, True))


def our_opt(do: bool = False, options: tuple[tuple[int, bytes], ...] = ()) -> bytes:
    """Return the OPT record that we send upstreams."""
    if options:
        return edns.opt(edns.DEFAULT_PAYLOAD, do=do, options=options)
    return _OUR_OPT[do]
