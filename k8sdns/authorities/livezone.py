"""Zones that are made from live objects: their SOA, and the denials that speak for all names.

Owns: the SOA record and what depends on it alone, and which zone a name is in. Refuses to know
what the zones hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from mypy_extensions import mypyc_attr

from k8sdns import names, records
from k8sdns.answers import NOT_READY, Answer, ZoneDenial, extended_error

REFRESH, RETRY, EXPIRE = 7200, 1800, 86400  # seconds; CoreDNS's, nobody transfers by them
MAX_SOA_TTL = 300  # seconds

Options: TypeAlias = tuple[tuple[int, bytes], ...]
"""EDNS options: (code, octets) each."""

_IN_ADDR = names.from_text("in-addr.arpa")
_IP6 = names.from_text("ip6.arpa")


@mypyc_attr(allow_interpreted_subclasses=True)
class LiveZone:
    """A served zone; `renew` replaces its SOA and denials when the serial moves or the TTL changes.

    `always_falls` and `falls_below` say for which of its missing names the next authority is asked.
    `holds_objects_alone` is set where nothing but a cluster's tree is in the zone: no names of
    addresses, no other zone (`LiveZones` knows), and nothing that falls through.
    """

    __slots__ = (
        "_unready",
        "always_falls",
        "falls_below",
        "holds_objects_alone",
        "is_reverse",
        "may_fall",
        "name",
        "nameserver",
        "nodata",
        "nxdomain",
        "rname",
        "soa",
        "soa_answer",
        "source",
    )

    def __init__(self, name: bytes, source: str, fallthrough: Iterable[bytes] = ()) -> None:
        self.name = name
        self.source = source
        self.is_reverse = is_reverse(name)
        self.nameserver = names.from_labels((b"ns", b"dns"), name)
        self.rname = names.from_labels((b"hostmaster",), name)
        self.always_falls = any(names.is_subdomain(name, zone) for zone in fallthrough)
        self.falls_below = tuple(zone for zone in fallthrough if names.is_subdomain(zone, name))
        self.may_fall = self.always_falls or bool(self.falls_below)
        self.holds_objects_alone = not self.may_fall and not holds_addresses(name)
        self.renew(0, 0)

    def renew(self, serial: int, ttl: int, options: Options = ()) -> None:
        """Make the SOA anew: `ttl` in seconds bounds it and is the TTL of denials (RFC 2308 §4).

        `options` are EDNS options of the denials.
        """
        timers = (serial, REFRESH, RETRY, EXPIRE, ttl)
        self.soa = records.soa(
            self.name, self.nameserver, self.rname, timers, min(ttl, MAX_SOA_TTL)
        )
        self.nodata = self._denial(records.NOERROR, options)
        self.nxdomain = self._denial(records.NXDOMAIN, options)
        self.nodata.is_current = self.nxdomain.is_current = True
        self.soa_answer = Answer((self.soa,), aa=True, source=self.source)
        self._unready: tuple[str, ZoneDenial] | None = None

    def outdate(self) -> None:
        """Say of the denials that they may be wrong by now; `renew` makes new ones."""
        self.nodata.is_current = self.nxdomain.is_current = False

    def unready(self, waits_for: str) -> Answer:
        """Return SERVFAIL with the SOA and the reason: nothing is denied before all is known."""
        if self._unready is None or self._unready[0] != waits_for:
            reason = extended_error(NOT_READY, f"waiting for {waits_for}")
            denial = self._denial(records.SERVFAIL, (reason,))
            self._unready = (waits_for, denial)
        return self._unready[1]

    def falls_through(self, qname: bytes) -> bool:
        """Tell whether a missing name is left to the next authority."""
        if self.always_falls:
            return True
        return any(names.is_subdomain(qname, zone) for zone in self.falls_below)

    def _denial(self, rcode: int, options: Options = ()) -> ZoneDenial:
        return ZoneDenial(self.name, self.soa, rcode=rcode, source=self.source, options=options)


class LiveZones:
    """The zones of one authority; `primary` is the first that is no reverse zone."""

    __slots__ = ("_by_name", "_ends", "_lengths", "primary")

    def __init__(self, zones: Iterable[bytes], source: str, fallthrough: Iterable[bytes]) -> None:
        below = tuple(fallthrough)
        self._by_name = {zone: LiveZone(zone, source, below) for zone in zones}
        self._ends = tuple(self._by_name)
        self._lengths = frozenset(map(len, self._by_name))
        for zone in self:
            if self.are_below(zone.name):
                zone.holds_objects_alone = False
        self.primary = next((z.name for z in self if not z.is_reverse), names.ROOT)

    def __iter__(self) -> Iterator[LiveZone]:
        return iter(self._by_name.values())

    def get(self, name: bytes) -> LiveZone | None:
        """Return the zone of exactly this name."""
        return self._by_name.get(name)

    def are_below(self, parent: bytes) -> bool:
        """Tell whether a zone is below `parent`, itself not counted."""
        return any(zone != parent and names.is_subdomain(zone, parent) for zone in self._ends)

    def match(self, qname: bytes) -> tuple[LiveZone, list[bytes], int] | None:
        """Return the longest zone around `qname`, the labels left of it, and where it begins.

        Zones match at label boundaries alone, since the walk stops nowhere else.
        """
        # No proof, since a label may hold the octets of a name, but most names of others end here.
        if not qname.endswith(self._ends):
            return None
        lengths, zones = self._lengths, self._by_name
        labels: list[bytes] = []
        at, left = 0, len(qname)
        while True:
            if left in lengths:
                zone = zones.get(qname[at:])
                if zone is not None:
                    return zone, labels, at
            length = qname[at]
            if not length:
                return None
            begin = at + 1
            at = begin + length
            left -= length + 1
            labels.append(qname[begin:at])


def is_reverse(zone: bytes) -> bool:
    """Tell whether `zone` is in one of the trees of addresses (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return names.is_subdomain(zone, _IN_ADDR) or names.is_subdomain(zone, _IP6)


def holds_addresses(zone: bytes) -> bool:
    """Tell whether names of addresses are in `zone`: it is in one of their trees, or around one."""
    return is_reverse(zone) or any(names.is_subdomain(tree, zone) for tree in (_IN_ADDR, _IP6))
