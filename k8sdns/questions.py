"""Questions: what a client asked, and who it is.

Owns: the header's flags, the shape of a query on its way through a server block. Refuses to know
how octets become a Question (`k8sdns.wire.reader`) and what answers it.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any, Final, NamedTuple

from k8sdns import names, records
from k8sdns.records import Record

QR: Final = 0x8000
AA: Final = 0x0400
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
AD: Final = 0x0020
CD: Final = 0x0010


# What a changed question takes over; the zone is found anew, and a note is its stage's own.
_KEPT: Final = (
    "flags", "qname", "qname_as_sent", "qtype", "qclass", "edns", "address", "local_address",
    "is_stream", "server", "message", "route_zone", "depth", "metadata", "upstream_options",
    "authority_records",
)  # fmt: skip


class Peer(NamedTuple):
    """An address in text and a port; a scope id stays in the address (``fe80::1%eth0``)."""

    host: str
    port: int


def peer_of(address: tuple[Any, ...]) -> Peer:
    """Return the Peer of a socket address; ``::ffff:192.0.2.1`` is unmapped (RFC 4291 §2.5.5.2)."""
    host = address[0]
    if host.startswith("::ffff:") and "." in host:
        host = host[7:]
    return Peer(host, address[1])


class Edns(NamedTuple):
    """The OPT record of a query (RFC 6891 §6.1)."""

    payload_size: int  # octets, as the client advertised it
    do: bool
    version: int = 0
    options: tuple[tuple[int, bytes], ...] = ()
    z: int = 0  # the flag bits below DO, as they came


class Encloser(NamedTuple):
    """Says of a denial for which other names it holds: below the closest encloser of its own.

    The closest encloser is the longest ancestor that exists (RFC 5155 §1.3). NXDOMAIN holds for
    every name below it but those that are one of `children` or below one; NODATA, of the type that
    was asked, holds for the children that are `lacking`. Both hold lower-case labels. In
    `children` a label too many does no harm, and one too few denies what exists; in `lacking` it
    is the other way round.

    Where both follow what they are about, the denial may outlive a change: `maker` says what has
    become of it.
    """

    at: int  # where the encloser begins in `qname`
    children: Container[bytes]
    lacking: Container[bytes] = ()
    maker: Any = None  # has `denial_now(denial, children, label)`; see KubernetesAuthority


class Question:
    """One query: what is asked, by whom, and over what.

    `qname` is lower-case wire form, `qname_as_sent` keeps the client's letters, `wire` is the
    question section as it came. Treat it as immutable; `renamed` and `derived` make new ones.
    Fields with a default here are set by the reader or server only where they differ.
    """

    flags: int = 0  # header flags as they came (RFC 1035 §4.1.1), opcode included
    # Literals, because mypyc knows no others: the root, A, IN.
    qname: bytes = b"\0"
    qname_as_sent: bytes = b"\0"
    qtype: int = 1
    qclass: int = 1
    wire: bytes = b""
    edns: Edns | None = None
    address: tuple[Any, ...] = ("127.0.0.1", 0)  # the client's, as the socket gave it
    local_address: tuple[Any, ...] = ("", 0)  # ours, as the socket gave it; "" for a wildcard
    is_stream: bool = False  # came over TCP, TLS or HTTPS: no datagram bounds the answer
    server: Any = None  # the listener's server, for lookups that re-enter its routing
    message: bytes = b""  # the query as it came
    route_zone: bytes = b"\0"  # the block's key that the query matched
    zone: bytes | None = None  # the zone in which an authority matched the name ...
    zone_at: int = 0  # ... and where it begins in `qname`
    encloser: Encloser | None = None  # for which other names a denial holds too
    depth: int = 0  # how many self-lookups led here
    outer: Question | None = None  # the question that a stage replaced by this one
    note: Any = None  # what that stage wants to remember until the way back
    metadata: dict[str, str] | None = None
    upstream_options: tuple[tuple[int, bytes], ...] = ()  # EDNS options that upstreams are sent
    authority_records: tuple[Record, ...] = ()  # of the query: IXFR's SOA (RFC 1995 §3)

    def __init__(
        self,
        qname: bytes = names.ROOT,
        qtype: int = records.A,
        qclass: int = records.IN,
        *,
        flags: int = RD,
    ) -> None:
        self.qname = qname.lower()
        self.qname_as_sent = qname
        self.qtype = qtype
        self.qclass = qclass
        self.flags = flags
        self.wire = qname + struct.pack("!HH", qtype, qclass)

    @property
    def id(self) -> int:
        return int.from_bytes(self.message[:2], "big")

    @property
    def size(self) -> int:
        """The octets of the query message."""
        return len(self.message)

    @property
    def opcode(self) -> int:
        return (self.flags >> 11) & 0xF

    @property
    def protocol(self) -> str:
        """``udp`` or ``tcp``, as metrics and log say it."""
        return "tcp" if self.is_stream else "udp"

    @property
    def peer(self) -> Peer:
        """Who asked; an IPv4 peer of a dual-stack socket is shown as IPv4."""
        return peer_of(self.address)

    @property
    def local(self) -> Peer:
        """Where the query arrived."""
        return peer_of(self.local_address)

    @property
    def is_lower(self) -> bool:
        """Tell whether the client wrote the name in lower case throughout."""
        return self.qname_as_sent == self.qname

    @property
    def name_text(self) -> str:
        """The name in lower-case text, as logs show it."""
        return names.to_text(self.qname)

    @property
    def original(self) -> Question:
        """The question as the client sent it, before any stage changed it."""
        question = self
        while question.outer is not None:
            question = question.outer
        return question

    def changed(
        self, *, qname: bytes | None = None, qtype: int | None = None, qclass: int | None = None
    ) -> Question:
        """Return a question that a stage passes on instead of this one; `outer` leads back."""
        new = Question.__new__(Question)
        for name in _KEPT:
            setattr(new, name, getattr(self, name))
        new.outer = self
        if qname is not None:
            new.qname_as_sent = qname
            new.qname = qname.lower()
        if qtype is not None:
            new.qtype = qtype
        if qclass is not None:
            new.qclass = qclass
        new.wire = new.qname_as_sent + struct.pack("!HH", new.qtype, new.qclass)
        return new

    def derived(self, qname: bytes, qtype: int | None = None) -> Question:
        """Return the question of a self-lookup for this one: same client, one level deeper."""
        new = self.changed(qname=qname, qtype=qtype)
        new.outer = None
        new.depth = self.depth + 1
        return new

    def __repr__(self) -> str:
        return f"<Question {self.name_text} {records.type_name(self.qtype)} from {self.peer.host}>"
