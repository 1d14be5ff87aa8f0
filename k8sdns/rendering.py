"""Record sections to octets behind a question: names compressed, ends remembered.

Owns: compression, whose letters a name is written in, which addresses may change places. Refuses
to know flags, size limits and OPT: those are the writer's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from k8sdns import names, records
from k8sdns.questions import Question
from k8sdns.records import Record

_COUNTS: Final = struct.Struct("!HHHH")
_RR_HEAD: Final = struct.Struct("!HHIH")
_POINTER: Final = struct.Struct("!H")
_LAST_POINTER: Final = 0x3FFF
QUESTION_OFFSET: Final = 12
_NO_RECORDS: Final = _COUNTS.pack(1, 0, 0, 0)
_ONLY_OPT: Final = _COUNTS.pack(1, 0, 0, 1)


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


def render(
    question: Question,
    answer: Iterable[Record],
    authority: Iterable[Record] = (),
    additional: Iterable[Record] = (),
) -> Rendered:
    """Render record sections to octets behind `question`, names compressed (RFC 1035 §4.1.4)."""
    if not (answer or authority or additional):
        # Errors mostly: what is shed under load has to cost little.
        return _nothing(question.qname)
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


def _nothing(qname: bytes) -> Rendered:
    """Return what an Answer without records is rendered to."""
    return Rendered(qname, _NO_RECORDS, _ONLY_OPT, b"", (), (0, 0, 0), False, (0, 0))


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
