"""Names of the local host that must not leave it (RFC 6761 §6.3, RFC 6303).

Owns: localhost, the reverse zones of the loopback and of no network, and what search paths make
of localhost. Refuses to know the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.interfaces import IStage
from k8sdns.records import Record

Respond = Callable[[Question], "Answer | Deferred[Answer]"]

_TTL: Final = 604_800  # a week, as RFC 1912 §4.1 has it
_LOCALHOST = names.from_text("localhost")
_LABEL = b"\x09localhost"
_LOOPBACK = names.from_text("1.0.0.127.in-addr.arpa")
_MAILBOX = names.from_text("root.localhost")
_ZONES = names.ZoneMap(
    (names.from_text(zone), None)
    for zone in ("localhost", "0.in-addr.arpa", "127.in-addr.arpa", "255.in-addr.arpa")
)
_ADDRESSES = {records.A: "127.0.0.1", records.AAAA: "::1"}


@implementer(IStage)
class LocalNames:
    """Answers the names of the local host; `saw_prefix` is told of localhost below other names."""

    def __init__(self, saw_prefix: Callable[[], None], *, with_prefix: bool = True) -> None:
        self._saw_prefix = saw_prefix
        self._with_prefix = with_prefix

    def respond(self, question: Question, rest: Respond) -> Answer | Deferred[Answer]:
        """Answer what is local, ask on for the rest."""
        name = question.qname
        found = _ZONES.find(name)
        if found is not None:
            if found[0] == _LOCALHOST and name != _LOCALHOST:
                return _loopback(question)
            return _in_zone(question, found[0])
        if self._with_prefix and name.startswith(_LABEL):
            self._saw_prefix()
            return _loopback(question)
        return rest(question)


def _loopback(question: Question) -> Answer:
    """Answer for a name that is the local host whatever it is called (RFC 6761 §6.3)."""
    address = _ADDRESSES.get(question.qtype)
    if address is None:
        return Answer(authority=(_soa(question.qname_as_sent),), source="local")
    return _of(records.address(question.qname_as_sent, address, _TTL))


def _in_zone(question: Question, zone: bytes) -> Answer:
    name, owner, qtype = question.qname, question.qname_as_sent, question.qtype
    if name == zone and qtype == records.SOA:
        return _of(_soa(owner))
    if name == zone and qtype == records.NS:
        return _of(Record(owner, records.NS, _TTL, _LOCALHOST))
    if name == _LOCALHOST and qtype in _ADDRESSES:
        return _of(records.address(owner, _ADDRESSES[qtype], _TTL))
    if name == _LOOPBACK and qtype == records.PTR:
        return _of(Record(owner, records.PTR, _TTL, _LOCALHOST))
    exists = name == zone or names.is_subdomain(_LOOPBACK, name)
    rcode = records.NOERROR if exists else records.NXDOMAIN
    return Answer(authority=(_soa(zone),), rcode=rcode, source="local")


def _of(record: Record) -> Answer:
    return Answer((record,), source="local")


def _soa(owner: bytes) -> Record:
    return records.soa(owner, _LOCALHOST, _MAILBOX, (1, 0, 0, 0, _TTL), _TTL)
