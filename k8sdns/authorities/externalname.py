"""ExternalName Services: from alias to alias, inside the zone by ourselves, outside by asking.

Owns: when a chain of aliases ends, and what is left of it then. Refuses to know the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.srv import address_record
from k8sdns.interfaces import ILookup
from k8sdns.records import Record
from k8sdns.waiting import then

MAX_ALIASES = 10

Step: TypeAlias = Callable[[bytes], tuple[bytes, ...] | bytes]
"""What is at a lower-case name of the zone: an alias target (bytes), or addresses, maybe none."""


class Chase:
    """Follows one alias for the addresses of one question."""

    def __init__(
        self, question: Question, zone: bytes, ttl: int, step: Step, lookup: ILookup | None
    ) -> None:
        self._question = question
        self._zone = zone
        self._ttl = ttl
        self._step = step
        self._lookup = lookup
        self._chain: list[Record] = []
        self.left_zone = False

    def follow(self, target: bytes, source: str) -> Answer | Deferred[Answer] | None:
        """Return the chain with its addresses, or None where it leads to none inside the zone.

        Outside, the alias alone is an answer too: the look-up of its target says nothing about
        this name (CoreDNS answers so whatever the RCODE there).
        """
        owner = self._question.qname
        seen: set[bytes] = set()
        while len(self._chain) < MAX_ALIASES:
            lower = target.lower()
            if lower in seen or names.is_subdomain(lower, owner.lower()):
                return None
            seen.add(lower)
            self._chain.append(Record(owner, records.CNAME, self._ttl, target))
            if not names.is_subdomain(lower, self._zone):
                return self._ask_outside(target, source)
            found = self._step(lower)
            if isinstance(found, tuple):
                addresses = [address_record(target, octets, self._ttl) for octets in found]
                return self._joined(addresses, source) if found else None
            owner, target = target, found
        return None

    def _ask_outside(self, target: bytes, source: str) -> Answer | Deferred[Answer]:
        self.left_zone = True
        if self._lookup is None:
            return self._joined([], source)
        there = self._lookup.lookup(self._question, target, self._question.qtype)
        return then(there, lambda answer: self._joined(answer.answer, source, tc=answer.tc))

    def _joined(
        self, rest: list[Record] | tuple[Record, ...], source: str, *, tc: bool = False
    ) -> Answer:
        return Answer((*self._chain, *rest), aa=True, tc=tc, source=source)
