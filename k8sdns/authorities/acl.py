"""Who may ask what: rules over the client's address and the type of the question.

Owns: the rules, their order, and how addresses are matched. Refuses to know how rules are written.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question, extended_error
from k8sdns.interfaces import IStage

Action = Literal["allow", "block", "filter", "drop"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Respond = Callable[[Question], "Answer | Deferred[Answer]"]

_BLOCKED = extended_error(15)  # RFC 8914 §4.16
_FILTERED = extended_error(17)  # RFC 8914 §4.18

ANSWERS: Final[dict[str, Answer]] = {
    "block": Answer(rcode=records.REFUSED, options=(_BLOCKED,), source="acl"),
    "filter": Answer(options=(_FILTERED,), source="acl"),
    "drop": SILENT,
}


class Networks:
    """A set of networks of both families; `holds` costs one look a prefix length."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._by_shift: dict[int, dict[int, set[int]]] = {4: {}, 16: {}}
        for network in networks:
            address = network.network_address
            shift = address.max_prefixlen - network.prefixlen
            prefixes = self._by_shift[len(address.packed)].setdefault(shift, set())
            prefixes.add(int(address) >> shift)

    def holds(self, packed: bytes) -> bool:
        """Tell whether an address, 4 or 16 octets, is in one of the networks."""
        number = int.from_bytes(packed, "big")
        for shift, prefixes in self._by_shift[len(packed)].items():
            if number >> shift in prefixes:
                return True
        return False


class Policy(NamedTuple):
    """One line of a rule; None for types or networks is all of them."""

    action: Action
    types: frozenset[int] | None = None
    networks: Networks | None = None

    def applies(self, qtype: int, packed: bytes) -> bool:
        """Tell whether a question of this type from this address is meant."""
        if self.types is not None and qtype not in self.types:
            return False
        return self.networks is None or self.networks.holds(packed)


class Rule(NamedTuple):
    """The policies for the names in `zones`; the first that applies decides."""

    zones: tuple[bytes, ...]
    policies: tuple[Policy, ...]


class Verdict(NamedTuple):
    """What is done, and the zone of the rule that said so (None: no rule did)."""

    action: Action
    zone: bytes | None


Saw = Callable[[Question, Verdict], None]


@implementer(IStage)
class AccessControl:
    """Lets questions pass, or answers in their place; `saw` is told of each verdict."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(
            (names.ZoneMap((zone, None) for zone in rule.zones), rule.policies) for rule in rules
        )
        self.saw: Saw = lambda _question, _verdict: None

    def respond(self, question: Question, rest: Respond) -> Answer | Deferred[Answer]:
        """Ask on what is allowed."""
        verdict = self.verdict(question)
        self.saw(question, verdict)
        if verdict.action == "allow":
            return rest(question)
        return ANSWERS[verdict.action]

    def verdict(self, question: Question) -> Verdict:
        """Return what becomes of a question; an unknown client is blocked, as in CoreDNS."""
        packed = _packed(question.peer.host)
        for zones, policies in self._rules:
            found = zones.find(question.qname)
            if found is None:
                continue
            if packed is None:
                return Verdict("block", found[0])
            for policy in policies:
                if policy.applies(question.qtype, packed):
                    return Verdict(policy.action, found[0])
        return Verdict("allow", None)


def _packed(host: str) -> bytes | None:
    """Return an address as octets; an IPv6 scope is no part of it."""
    try:
        if ":" in host:
            return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        return socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return None
