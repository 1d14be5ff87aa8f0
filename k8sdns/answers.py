"""Answers: immutable values that carry their own wire form.

Owns: the shape of what travels through a server block, in both directions. Refuses to know
transports, size limits and EDNS negotiation: those are the writer's.

A reply is the client's id, flags and question octets, then the octets that the Answer rendered
once, then OPT. Those octets are valid only behind a question of the same name, because owner
names point into it; `Answer.rendered` is the one place that guards this.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mypy_extensions import mypyc_attr

from k8sdns import names, records
from k8sdns.questions import AA, AD, CD, QR, RA, RD, TC, Edns, Encloser, Peer, Question, peer_of
from k8sdns.records import Record
from k8sdns.rendering import QUESTION_OFFSET, Rendered, render

if TYPE_CHECKING:
    from k8sdns.errors import QueryError

# Who deals with answers deals with their questions: both are to be had here.
__all__ = [
    "AA", "AD", "CD", "NOT_READY", "QR", "QUESTION_OFFSET", "RA", "RD", "SILENT", "TC", "Answer",
    "Edns", "Encloser", "Peer", "Question", "Rendered", "Sections", "ZoneDenial",
    "extended_error", "failed", "nodata", "nxdomain", "peer_of", "render",
]  # fmt: skip

Sections: TypeAlias = tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]


@mypyc_attr(allow_interpreted_subclasses=True)
class Answer:
    """What an authority says: an RCODE, flags, three sections; immutable once made.

    OPT, RD and CD come from the question, never from here. `source` is the word of the directive
    that made it. `options` are EDNS options (code, octets) for the reply. `error` is what went
    wrong, for `errors` to log. `is_current` is the one thing that changes: whoever sets it
    promises that the same question has this same Answer until it is unset, at the moment in which
    that ends. `told`, if there is one, is called with how often it was given again meanwhile.
    `octets` are those of the records without compression, 0 before somebody asked.
    """

    __slots__ = (
        "_rendered",
        "_sections",
        "error",
        "flags",
        "is_current",
        "octets",
        "options",
        "rcode",
        "source",
        "told",
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
        self._sections: Sections | None = (answer, authority, additional)
        self.rcode = rcode
        self.flags = QR | (AA * aa) | (TC * tc) | (RA * ra) | (AD * ad) | (rcode & 0xF)
        self.options = options
        self.source = source
        self.error = error
        self.is_current = False
        self.told: Callable[[int], None] | None = None
        self.octets = 0
        self._rendered: Rendered | None = None

    @property
    def answer(self) -> tuple[Record, ...]:
        return self.sections()[0]

    @property
    def authority(self) -> tuple[Record, ...]:
        return self.sections()[1]

    @property
    def additional(self) -> tuple[Record, ...]:
        return self.sections()[2]

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
        rendered = render(question, *self.sections())
        if not rendered.echoes_case or question.is_lower:
            self._rendered = rendered
        return rendered

    def sections(self) -> Sections:
        """Return answer, authority and additional section."""
        if self._sections is None:
            self._sections = self._decoded()
        return self._sections

    def _decoded(self) -> Sections:
        """Make the sections when they are first asked for; for classes that begin without them.

        A method, because compiled code sees what a derived class overrides of those, while it
        reads attributes in place.
        """
        raise NotImplementedError

    def replace(self, **changes: Any) -> Answer:
        """Return a copy with some of the constructor's arguments changed."""
        answer, authority, additional = self.sections()
        arguments: dict[str, Any] = {
            "answer": answer, "authority": authority, "additional": additional,
            "rcode": self.rcode, "aa": self.aa, "tc": self.tc, "ra": self.ra, "ad": self.ad,
            "options": self.options, "source": self.source,
            "error": self.error,
        }  # fmt: skip
        arguments.update(changes)
        return Answer(**arguments)

    def uncompressed_size(self, question: Question) -> int:
        """Return the octets of the message without compression and OPT (what CoreDNS measures)."""
        octets = self.octets or self.measured()
        return QUESTION_OFFSET + len(question.wire) + octets

    def measured(self) -> int:
        """Return the octets of the records without compression; they are counted once."""
        octets = 0
        for section in self.sections():
            for record in section:
                octets += len(record.owner) + 10 + len(record.rdata)
        self.octets = octets
        return octets

    def __repr__(self) -> str:
        counts = "/".join(str(len(section)) for section in self.sections())
        return f"<Answer {records.rcode_name(self.rcode)} {counts} by {self.source or 'server'}>"


class ZoneDenial(Answer):
    """NODATA or NXDOMAIN of one zone, good for every name in it: one object, whatever is asked.

    Its only record is the zone's SOA, whose owner is a pointer into the question; how far in
    depends on the length of the name alone, so there are at most 255 renderings. `soa_tail` is
    what no compression touches of the SOA: serial and timers, 20 octets (RFC 1035 §3.3.13).
    """

    __slots__ = ("_by_offset", "soa_tail", "zone")

    def __init__(
        self,
        zone: bytes,
        soa: Record,
        *,
        rcode: int = records.NOERROR,
        options: tuple[tuple[int, bytes], ...] = (),
        source: str = "",
    ) -> None:
        super().__init__(authority=(soa,), aa=True, rcode=rcode, options=options, source=source)
        self.zone = zone
        self.soa_tail = soa.rdata[-20:]
        self._by_offset: dict[int, Rendered] = {}

    def rendered(self, question: Question) -> Rendered:
        if question.zone is self.zone:
            at = question.zone_at
        else:
            at = names.suffix_offset(question.qname, self.zone)
            if at < 0:
                return render(question, *self.sections())
        kept = self._by_offset.get(at)
        if kept is None:
            # Behind the question itself, names in the SOA might point at labels left of the
            # zone, which the next question of this length does not have.
            neutral = Question(_filler(at) + self.zone)
            kept = render(neutral, *self.sections())
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


NOT_READY: Final = 14  # Extended DNS Error (RFC 8914 §4.15)


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
