"""IPv6 addresses for what has IPv4 addresses only (RFC 6147), by the rules of RFC 6052.

Owns when an AAAA answer is made from an A answer, and how. Refuses to know the network that
translates the packets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import CD, SILENT, Answer, Question
from k8sdns.interfaces import IStage
from k8sdns.records import Record
from k8sdns.waiting import then

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

PREFIX_LENGTHS = (32, 40, 48, 56, 64, 96)  # RFC 6052 §2.2
WITHOUT_SOA = 600  # seconds: the longest TTL where no SOA bounds it (RFC 6147 §5.1.7)

Prefix = ipaddress.IPv6Network


def embedded(prefix: Prefix, address: bytes) -> bytes:
    """Return the 16 octets of an IPv4 address inside `prefix`; octet 8 stays 0 (RFC 6052 §2.2)."""
    length = prefix.prefixlen // 8
    octets = prefix.network_address.packed[:length] + address
    if length <= 8:
        octets = octets[:8] + b"\x00" + octets[8:]
    return octets[:16].ljust(16, b"\x00")


@implementer(IStage)
class Dns64:
    """Asks for A where there is no AAAA, and puts the addresses into `prefix`.

    IPv4 clients have no use for it; `for_ipv4` does it for them too. With `translates_all` AAAA
    records that exist are hidden. `translated` is told of each query answered so.
    """

    def __init__(
        self,
        prefix: Prefix,
        *,
        translates_all: bool,
        for_ipv4: bool,
        translated: Callable[[Question], None],
    ) -> None:
        self._prefix = prefix
        self._translates_all = translates_all
        self._for_ipv4 = for_ipv4
        self._translated = translated

    def respond(self, question: Question, rest: Callable[[Question], Any]) -> Any:
        """Answer with what there is, or with what can be made."""
        if not self._concerns(question):
            return rest(question)
        return then(rest(question), lambda answer: self._judge(answer, question, rest))

    def _concerns(self, question: Question) -> bool:
        if question.qtype != records.AAAA or question.qclass != records.IN:
            return False
        edns = question.edns
        if edns is not None and edns.do and question.flags & CD:
            return False  # who validates for himself would reject what is made here (§5.5)
        return self._for_ipv4 or ":" in question.peer.host

    def _judge(
        self, answer: Answer, question: Question, rest: Callable[[Question], Any]
    ) -> Answer | Deferred[Answer]:
        """Leave name errors and AAAA records as they are; all else counts as empty (§5.1.2)."""
        if answer is SILENT or answer.rcode == records.NXDOMAIN:
            return answer
        if not self._translates_all and _has(answer, records.AAAA):
            return answer
        there = rest(question.changed(qtype=records.A))
        return then(there, lambda found: self._made(found, answer, question))

    def _made(self, found: Answer, answer: Answer, question: Question) -> Answer:
        if found is SILENT or not _has(found, records.A):
            return answer
        self._translated(question)
        soa = (record.ttl for record in answer.authority if record.rtype == records.SOA)
        most = next(soa, WITHOUT_SOA)
        translated = tuple(self._translation(record, most) for record in found.answer)
        return found.replace(answer=translated, aa=False, ad=False)

    def _translation(self, record: Record, most: int) -> Record:
        """Return the AAAA record of an A record; others stay as they are (§5.3.3)."""
        if record.rtype != records.A:
            return record
        rdata = embedded(self._prefix, record.rdata)
        return record._replace(rtype=records.AAAA, ttl=min(record.ttl, most), rdata=rdata)


def _has(answer: Answer, rtype: int) -> bool:
    return any(record.rtype == rtype for record in answer.answer)
