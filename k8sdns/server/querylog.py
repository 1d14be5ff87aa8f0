"""The query log: one line for a reply, in CoreDNS's formats or as JSON.

Owns: placeholders, which replies a rule wants, and the form of a line. A format is read once, into
a list of functions. Refuses to know where lines go: they are events of twisted.logger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from twisted.logger import Logger
from zope.interface import implementer

from k8sdns import logs, names, records
from k8sdns.answers import AA, AD, CD, QR, QUESTION_OFFSET, RA, RD, SILENT, TC, Answer, Question
from k8sdns.authorities.verdict import class_of, verdict
from k8sdns.interfaces import IObserver

COMMON: Final = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED: Final = COMMON + ' "{>opcode}"'
JSON: Final = "{json}"
ALL: Final = "all"

_MISSING = "-"
_Z = 0x0040
_FLAG_NAMES = (
    (QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (_Z, "z"), (AD, "ad"), (CD, "cd"),
)  # fmt: skip
_MIN_BUFSIZE = 512
_STREAM_BUFSIZE = 65535
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


class Exchange(NamedTuple):
    """A question and what came of it: `elapsed` in seconds, `size` the octets that were sent."""

    question: Question
    answer: Answer
    elapsed: float
    size: int

    @property
    def is_silent(self) -> bool:
        """Tell whether nothing was sent."""
        return self.answer is SILENT

    @property
    def is_truncated(self) -> bool:
        """Tell whether the writer had to leave records out."""
        question, answer = self.question, self.answer
        if question.is_stream:
            return False
        whole = QUESTION_OFFSET + len(question.wire) + len(answer.rendered(question).body)
        return self.size < whole


Part = Callable[[Exchange], str]


def _host(host: str) -> str:
    if not host:
        return _MISSING
    return f"[{host}]" if ":" in host else host


def _bufsize(exchange: Exchange) -> int:
    question = exchange.question
    if question.is_stream:
        return _STREAM_BUFSIZE
    return max(_MIN_BUFSIZE, question.edns.payload_size if question.edns else 0)


def _rcode(exchange: Exchange) -> str:
    rcode = exchange.answer.rcode
    return _MISSING if exchange.is_silent else records.RCODE_NAMES.get(rcode) or str(rcode)


def _rflags(exchange: Exchange) -> str:
    if exchange.is_silent:
        return _MISSING
    bits = exchange.answer.flags | exchange.question.flags & (RD | CD)
    if exchange.is_truncated:
        bits |= TC
    return ",".join(name for bit, name in _FLAG_NAMES if bits & bit)


def _rsize(exchange: Exchange) -> str:
    if exchange.is_silent:
        return _MISSING
    return str(exchange.answer.uncompressed_size(exchange.question))


def _duration(exchange: Exchange) -> str:
    return f"{exchange.elapsed:.9f}".rstrip("0").rstrip(".") + "s"


def _do(exchange: Exchange) -> bool:
    edns = exchange.question.edns
    return edns is not None and edns.do


_PARTS: Final[dict[str, Part]] = {
    "{type}": lambda e: records.type_name(e.question.qtype),
    "{name}": lambda e: e.question.name_text,
    "{class}": lambda e: records.class_name(e.question.qclass),
    "{proto}": lambda e: e.question.protocol,
    "{remote}": lambda e: _host(e.question.peer.host),
    "{local}": lambda e: _host(e.question.local.host),
    "{port}": lambda e: str(e.question.address[1]),
    "{size}": lambda e: str(e.question.size),
    "{rcode}": _rcode,
    "{rsize}": _rsize,
    "{duration}": _duration,
    "{>id}": lambda e: str(e.question.id),
    "{>opcode}": lambda e: str(e.question.opcode),
    "{>do}": lambda e: "true" if _do(e) else "false",
    "{>bufsize}": lambda e: str(_bufsize(e)),
    "{>rflags}": _rflags,
}


def _label(name: str) -> Part:
    def part(exchange: Exchange) -> str:
        return (exchange.question.metadata or {}).get(name) or _MISSING

    return part


def compiled(text: str) -> Part:
    """Return what writes a line in the format `text`; unknown placeholders stay as they are."""
    if text == JSON:
        return as_json
    text = text.replace("{common}", COMMON).replace("{combined}", COMBINED)
    parts: list[Part] = []
    template = ""
    at = 0
    for match in _PLACEHOLDER.finditer(text):
        part = _label(match[0][2:-1]) if match[0][1] == "/" else _PARTS.get(match[0])
        if part is not None:
            template += text[at : match.start()].replace("%", "%%") + "%s"
            parts.append(part)
            at = match.end()
    template += text[at:].replace("%", "%%")
    return lambda exchange: template % tuple([part(exchange) for part in parts])


def as_json(exchange: Exchange) -> str:
    """Return a line of JSON; numbers are numbers, `duration` is in seconds."""
    question, answer = exchange.question, exchange.answer
    fields: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        "remote": question.peer.host,
        "port": question.address[1],
        "id": question.id,
        "type": records.type_name(question.qtype),
        "class": records.class_name(question.qclass),
        "name": question.name_text,
        "proto": question.protocol,
        "size": question.size,
        "do": _do(exchange),
        "bufsize": _bufsize(exchange),
        "rcode": None if exchange.is_silent else _rcode(exchange),
        "rflags": [] if exchange.is_silent else _rflags(exchange).split(","),
        "rsize": 0 if exchange.is_silent else answer.uncompressed_size(question),
        "duration": round(exchange.elapsed, 9),
        "directive": answer.source,
    }
    if answer.error is not None:
        fields["error"] = str(answer.error)
    if question.metadata:
        fields["metadata"] = question.metadata
    return msgspec.json.encode(fields).decode()


class Rule(NamedTuple):
    """Which replies are logged: those to names in `zone`, of one of `classes`, and how."""

    zone: bytes
    classes: frozenset[str]
    line: Part
    is_json: bool = False


@implementer(IObserver)
class QueryLog:
    """Writes a line for each reply that a rule wants; the first rule for the name decides."""

    # The name is none of a directive's: a line of the query log says nothing in front of it.
    log = Logger(namespace="k8sdns.server.querylog")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)

    def saw(self, question: Question, answer: Answer, elapsed: float, size: int) -> None:
        """Log one reply if a rule wants it."""
        for rule in self._rules:
            if names.is_subdomain(question.qname, rule.zone):
                if self._is_wanted(rule, question, answer):
                    self._write(rule, Exchange(question, answer, elapsed, size))
                return

    @staticmethod
    def _is_wanted(rule: Rule, question: Question, answer: Answer) -> bool:
        if ALL in rule.classes and question.metadata is None:
            return True
        kind = "OTHERERROR" if answer is SILENT else verdict(question, answer)
        if question.metadata is not None:
            question.metadata["log/type"] = kind
            question.metadata["log/class"] = class_of(kind)
        return ALL in rule.classes or class_of(kind) in rule.classes

    def _write(self, rule: Rule, exchange: Exchange) -> None:
        if rule.is_json:
            self.log.info("{line}", line=rule.line(exchange), **{logs.BARE: True})
        else:
            self.log.info("{line}", line=rule.line(exchange))
