"""Question, Answer and what they promise: immutable values that carry their own wire form.

Owns: the shape of what travels through a server block, in both directions. Refuses to know
transports, size limits and EDNS negotiation: those are the writer's.

A reply is the client's id, flags and question octets, then the octets that the Answer rendered
once, then OPT. Those octets are valid only behind a question of the same name, because owner
names point into it; `Answer.rendered` is the one place that guards this.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from k8sdns import names, records
from k8sdns.records import Record

if TYPE_CHECKING:
    from k8sdns.errors import QueryError

QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010

_COUNTS = struct.Struct("!HHHH")
_RR_HEAD = struct.Struct("!HHIH")
_POINTER = struct.Struct("!H")
_LAST_POINTER = 0x3FFF
QUESTION_OFFSET: Final = 12


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


class Question:
    """One query: what is asked, by whom, and over what.

    `qname` is lower-case wire form, `qname_as_sent` keeps the client's letters, `wire` is the
    question section as it came. Treat it as immutable; `renamed` and `derived` make new ones.
    Fields with a default here are set by the reader or server only where they differ.
    """

    flags: int = 0  # header flags as they came (RFC 1035 §4.1.1), opcode included
    qname: bytes = names.ROOT
    qname_as_sent: bytes = names.ROOT
    qtype: int = records.A
    qclass: int = records.IN
    wire: bytes = b""
    edns: Edns | None = None
    address: tuple[Any, ...] = ("127.0.0.1", 0)  # the client's, as the socket gave it
    local_address: tuple[Any, ...] = ("", 0)  # ours, as the socket gave it; "" for a wildcard
    is_stream: bool = False  # came over TCP, TLS or HTTPS: no datagram bounds the answer
    server: Any = None  # the listener's server, for lookups that re-enter its routing
    message: bytes = b""  # the query as it came
    route_zone: bytes = names.ROOT  # the block's key that the query matched
    zone: bytes | None = None  # the zone in which an authority matched the name ...
    zone_at: int = 0  # ... and where it begins in `qname`
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
        new.__dict__.update(self.__dict__)
        new.zone = None
        new.outer = self
        new.note = None
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


class Rendered(NamedTuple):
    """The record sections of an Answer as octets, valid behind a question for `qname` only."""

    qname: bytes
    counts: bytes  # QDCOUNT 1, then the counts of the three sections
    counts_with_opt: bytes  # the same with one record more in the last
    body: bytes
    ends: tuple[int, ...]  # end offset in `body` of every record, all sections in order
    sections: tuple[int, int, int]  # how many records each section has
    echoes_case: bool  # holds names that repeat the question's letters outside pointers
    span: tuple[int, int]  # (first, count) of the address records that may be given in any order


class Answer:
    """What an authority says: an RCODE, flags, three sections; immutable once made.

    OPT, RD and CD come from the question, never from here. `source` is the word of the directive
    that made it. `options` are EDNS options (code, octets) for the reply. `error` is what went
    wrong, for `errors` to log. `is_current` is the one thing that changes: whoever sets it
    promises that the same question has this same Answer until it is unset, at the moment in which
    that ends.
    """

    __slots__ = (
        "_octets",
        "_rendered",
        "additional",
        "answer",
        "authority",
        "error",
        "flags",
        "is_current",
        "options",
        "rcode",
        "source",
    )  # fmt: skip

    def __init__(
        self,
        answer: tuple[Record, ...] = (),
        authority: tuple[Record, ...] = (),
        additional: tuple[Record, ...] = (),
        *,
        rcode: int = records.NOERROR,
        aa: bool = False,
        tc: bool = False,
        ra: bool = False,
        ad: bool = False,
        options: tuple[tuple[int, bytes], ...] = (),
        source: str = "",
        error: QueryError | None = None,
    ) -> None:
        self.answer = answer
        self.authority = authority
        self.additional = additional
        self.rcode = rcode
        self.flags = QR | (AA * aa) | (TC * tc) | (RA * ra) | (AD * ad) | (rcode & 0xF)
        self.options = options
        self.source = source
        self.error = error
        self.is_current = False
        self._octets = 0
        self._rendered: Rendered | None = None

    @property
    def aa(self) -> bool:
        return bool(self.flags & AA)

    @property
    def tc(self) -> bool:
        return bool(self.flags & TC)

    @property
    def ra(self) -> bool:
        return bool(self.flags & RA)

    @property
    def ad(self) -> bool:
        return bool(self.flags & AD)

    def rendered(self, question: Question) -> Rendered:
        """Return the record sections as octets that are valid behind `question`."""
        kept = self._rendered
        if (
            kept is not None
            and kept.qname == question.qname
            and (not kept.echoes_case or question.qname_as_sent == question.qname)
        ):
            return kept
        rendered = render(question, self.answer, self.authority, self.additional)
        if not rendered.echoes_case or question.is_lower:
            self._rendered = rendered
        return rendered

    def replace(self, **changes: Any) -> Answer:
        """Return a copy with some of the constructor's arguments changed."""
        arguments: dict[str, Any] = {
            "answer": self.answer, "authority": self.authority, "additional": self.additional,
            "rcode": self.rcode, "aa": self.aa, "tc": self.tc, "ra": self.ra, "ad": self.ad,
            "options": self.options, "source": self.source,
            "error": self.error,
        }  # fmt: skip
        arguments.update(changes)
        return Answer(**arguments)

    def uncompressed_size(self, question: Question) -> int:
        """Return the octets of the message without compression and OPT (what CoreDNS measures)."""
        octets = self._octets or self.measured()
        return QUESTION_OFFSET + len(question.wire) + octets

    def measured(self) -> int:
        """Return the octets of the records without compression; they are counted once."""
        octets = 0
        for section in (self.answer, self.authority, self.additional):
            for record in section:
                octets += len(record.owner) + 10 + len(record.rdata)
        self._octets = octets
        return octets

    def __repr__(self) -> str:
        counts = f"{len(self.answer)}/{len(self.authority)}/{len(self.additional)}"
        return f"<Answer {records.rcode_name(self.rcode)} {counts} by {self.source or 'server'}>"


class ZoneDenial(Answer):
    """NODATA or NXDOMAIN of one zone, good for every name in it: one object, whatever is asked.

    Its only record is the zone's SOA, whose owner is a pointer into the question; how far in
    depends on the length of the name alone, so there are at most 255 renderings.
    """

    __slots__ = ("_by_offset", "zone")

    def __init__(self, zone: bytes, soa: Record, **arguments: Any) -> None:
        super().__init__(authority=(soa,), aa=True, **arguments)
        self.zone = zone
        self._by_offset: dict[int, Rendered] = {}

    def rendered(self, question: Question) -> Rendered:
        if question.zone is self.zone:
            at = question.zone_at
        else:
            at = names.suffix_offset(question.qname, self.zone)
            if at < 0:
                return render(question, self.answer, self.authority, self.additional)
        kept = self._by_offset.get(at)
        if kept is None:
            # Behind the question itself, names in the SOA might point at labels left of the
            # zone, which the next question of this length does not have.
            neutral = Question(_filler(at) + self.zone)
            kept = render(neutral, self.answer, self.authority, self.additional)
            self._by_offset[at] = kept
        return kept


def _filler(octets: int) -> bytes:
    """Return so many octets of labels that no SOA holds; no name has one octet of labels."""
    odd = b"\x02\x00\x00" if octets % 2 else b""
    return odd + b"\x01\x00" * ((octets - len(odd)) // 2)


class _Silent(Answer):
    """Not answering at all is a value too (an acl's drop)."""

    __slots__ = ()


SILENT: Final[Answer] = _Silent()


def nodata(soa: Record | None = None, **arguments: Any) -> Answer:
    """Return NOERROR with an empty answer section, the SOA in authority (RFC 2308 §2.2)."""
    return Answer(authority=(soa,) if soa else (), rcode=records.NOERROR, **arguments)


def nxdomain(soa: Record | None = None, **arguments: Any) -> Answer:
    """Return a name error, the SOA in authority (RFC 2308 §2.1)."""
    return Answer(authority=(soa,) if soa else (), rcode=records.NXDOMAIN, **arguments)


def failed(error: QueryError, source: str = "") -> Answer:
    """Return the Answer that an error of ours becomes; `errors` logs its text."""
    options: tuple[tuple[int, bytes], ...] = ()
    if error.ede is not None:
        code, text = error.ede
        options = (extended_error(code, text),)
    return Answer(rcode=error.rcode, error=error, source=source, options=options)


def extended_error(code: int, text: str = "") -> tuple[int, bytes]:
    """Return an Extended DNS Error option (RFC 8914 §2)."""
    return 15, struct.pack("!H", code) + text.encode("utf-8")[:128]


def render(
    question: Question,
    answer: Iterable[Record],
    authority: Iterable[Record] = (),
    additional: Iterable[Record] = (),
) -> Rendered:
    """Render record sections to octets behind `question`, names compressed (RFC 1035 §4.1.4)."""
    writer = _SectionWriter(question)
    sections = (writer.add(answer), writer.add(authority), writer.add(additional))
    return Rendered(
        question.qname,
        _COUNTS.pack(1, *sections),
        _COUNTS.pack(1, sections[0], sections[1], sections[2] + 1),
        bytes(writer.body),
        tuple(writer.ends),
        sections,
        writer.echoes_case,
        _address_span(writer, sections[0]),
    )


def _address_span(writer: _SectionWriter, answers: int) -> tuple[int, int]:
    """Find the addresses of the answer section that can change places.

    Each must begin with a pointer: where the first of them spells its owner out, the others
    point at it, and pointers lead back only.
    """
    flags = writer.movable[:answers]
    if True not in flags:
        return (0, 0)
    first = flags.index(True)
    rest = flags[first:]
    return first, rest.index(False) if False in rest else len(rest)


class _SectionWriter:
    """Writes records one after another, remembering where every name suffix stands."""

    def __init__(self, question: Question) -> None:
        self.body = bytearray()
        self.ends: list[int] = []
        self.movable: list[bool] = []
        self.echoes_case = False
        self._question = question
        self._start = QUESTION_OFFSET + len(question.wire)
        self._places: dict[bytes, int] = {}
        # Where an authority found its zone, the client's letters are those of the zone and of the
        # whole name; what stands between belongs to other names too, which have their own.
        self._shared_from = QUESTION_OFFSET
        if question.zone is not None and not question.is_lower:
            self._shared_from += question.zone_at
        at = QUESTION_OFFSET
        for suffix in names.suffixes(question.qname):
            if suffix == names.ROOT:
                break
            if at == QUESTION_OFFSET or at >= self._shared_from:
                self._places[suffix] = at
            at += suffix[0] + 1

    def add(self, section: Iterable[Record]) -> int:
        count = 0
        for record in section:
            self._add(record)
            count += 1
        if count > 0xFFFF:
            raise ValueError("a section holds at most 65535 records")
        return count

    def _add(self, record: Record) -> None:
        body = self.body
        start = len(body)
        self._name(record.owner)
        is_address = record.rtype in (records.A, records.AAAA)
        self.movable.append(is_address and body[start] >= 0xC0)
        place = records.NAMES_IN_RDATA.get(record.rtype)
        rdata = record.rdata
        if place is None:
            body += _RR_HEAD.pack(record.rtype, record.rclass, record.ttl, len(rdata)) + rdata
        else:
            body += _RR_HEAD.pack(record.rtype, record.rclass, record.ttl, 0)
            before = len(body)
            self._rdata(record, place)
            struct.pack_into("!H", body, before - 2, len(body) - before)
        self.ends.append(len(body))

    def _rdata(self, record: Record, place: tuple[int, int]) -> None:
        rdata = record.rdata
        at, count = place
        self.body += rdata[:at]
        for _ in range(count):
            end = records.end_of_name(rdata, at)
            if record.rtype in records.COMPRESSED:
                self._name(rdata[at:end])
            else:
                self._plain_name(rdata[at:end])
            at = end
        self.body += rdata[at:]

    def _name(self, name: bytes) -> None:
        lower = name.lower()
        at = 0
        while name[at]:
            suffix = lower[at:]
            place = self._places.get(suffix)
            if place is not None:
                self.body += _POINTER.pack(0xC000 | place)
                return
            here = self._start + len(self.body)
            if here <= _LAST_POINTER:
                self._places[suffix] = here
            end = at + name[at] + 1
            self.body += name[at:end]
            at = end
        self.body.append(0)

    def _plain_name(self, name: bytes) -> None:
        """Write a name that is not to be compressed, in the question's letters where shared."""
        question = self._question
        lower = name.lower()
        for suffix in names.suffixes(lower):
            place = self._places.get(suffix)
            if place is not None and place < self._start:
                keep = len(name) - len(suffix)
                sent = question.qname_as_sent[place - QUESTION_OFFSET :]
                self.body += name[:keep] + sent
                self.echoes_case = True
                return
        self.body += name
