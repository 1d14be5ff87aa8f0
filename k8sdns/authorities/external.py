"""A cluster's Services under other zones, by the addresses that they have outside.

Owns: which names such a zone has and what they stand for (CoreDNS plugin/k8s_external). Refuses to
know where the cluster's objects come from; the cluster's own authority of the block lends its view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.backends import Backend, ServiceView, address_octets
from k8sdns.authorities.base import Authority
from k8sdns.authorities.endpoints import octets_of
from k8sdns.authorities.externalplaces import ExternalPlace, external_backends, parse_external
from k8sdns.authorities.livezone import LiveZone
from k8sdns.authorities.srv import address_record, srv_records
from k8sdns.interfaces import IClusterView, ILookup, ITransferable
from k8sdns.records import AAAA, CNAME, NS, PTR, SOA, SRV, A, Record
from k8sdns.waiting import then

WORD: Final = "k8s_external"

Found: TypeAlias = "Answer | Deferred[Any] | None"


class ExternalZone(LiveZone):
    """One zone; its name server is ``ns1.<apex>.<zone>``."""

    __slots__ = ("apex", "serial")

    def __init__(self, name: bytes, apex: bytes, fallthrough: Iterable[bytes]) -> None:
        super().__init__(name, WORD, fallthrough)
        self.apex = names.from_labels((apex,), name)
        self.nameserver = names.from_labels((b"ns1",), self.apex)
        self.rname = names.from_labels((b"hostmaster",), self.apex)
        self.serial = -1


@implementer(ITransferable)
class ExternalAuthority(Authority):
    """Answers for `<service>.<namespace>` and `_<port>._<protocol>` below it in each of `zones`.

    With `headless` endpoints of Services without outside addresses have names too. `cluster` is
    the view to use, to be set before the first question.
    """

    word = WORD
    cluster: IClusterView

    def __init__(
        self,
        zones: Iterable[bytes],
        *,
        apex: bytes,
        ttl: int,
        headless: bool,
        fallthrough: Iterable[bytes],
        lookup: ILookup,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        below = tuple(fallthrough)
        made = [ExternalZone(zone, apex, below) for zone in zones]
        self._made = made
        self._zones = names.ZoneMap((zone.name, zone) for zone in made)
        self._primary = next((zone.name for zone in made if not zone.is_reverse), names.ROOT)
        self._configured_ttl = self._ttl = ttl
        self._headless = headless
        self.lookup = lookup

    def limit_ttl(self, ceiling: int) -> None:
        """Make every TTL at most `ceiling` seconds from now on: what `cache` asks of its block."""
        self._ttl = min(self._configured_ttl, ceiling)
        for zone in self._made:
            zone.serial = -1

    def answer(self, question: Question) -> Found:
        """Answer from the cluster; None for other zones and for what falls through."""
        found = self._zones.find(question.qname)
        if found is None:
            return None
        zone = self._current(found[1])
        question.zone = zone.name
        question.zone_at = len(question.qname) - len(zone.name)
        answer = self._answer_in(zone, question)
        if answer is not None:
            return answer
        waits_for = self.cluster.waits_for()
        if waits_for:
            return zone.unready(waits_for)
        return None if zone.falls_through(question.qname) else zone.nxdomain

    def _current(self, zone: ExternalZone) -> ExternalZone:
        serial = self.cluster.store.external_serial
        if serial != zone.serial:
            zone.serial = serial
            zone.renew(serial, self._ttl)
            zone.outdate()  # nobody tells when a denial here stops being true
        return zone

    def _answer_in(self, zone: ExternalZone, question: Question) -> Found:
        qname = question.qname
        if qname == zone.name:
            return self._at_apex(zone, question.qtype)
        if names.is_subdomain(qname, zone.apex):
            return self._below_apex(zone, question)
        if question.qtype == PTR:
            address = names.address_of(qname)
            if address is not None:
                return self._pointers(qname, address)
        place = parse_external(names.labels_of(qname[: question.zone_at] + names.ROOT))
        return None if place is None else self._at(place, zone, question)

    # -- the apex --------------------------------------------------------------------------

    def _at_apex(self, zone: ExternalZone, qtype: int) -> Answer:
        if qtype == SOA:
            return zone.soa_answer
        if qtype == NS:
            server = Record(zone.name, NS, self._ttl, zone.nameserver)
            return self._positive((server,), self._name_server_addresses(zone))
        return zone.nodata

    def _below_apex(self, zone: ExternalZone, question: Question) -> Answer | None:
        if question.qname == zone.apex:
            return zone.nodata
        if question.qname != zone.nameserver:
            return None
        found = self._name_server_addresses(zone)
        wanted = tuple(record for record in found if record.rtype == question.qtype)
        return self._positive(wanted) if wanted else zone.nodata

    def _name_server_addresses(self, zone: ExternalZone) -> tuple[Record, ...]:
        """Return where this server is reached: at its Services' outside addresses, else here."""
        store, local = self.cluster.store, self.cluster.local_addresses
        keys = {(p.namespace, p.service) for here in local for p in store.slices_by_ip(here)}
        services = [store.services[key] for key in sorted(keys) if key in store.services]
        outside = [address for service in services for address in service.external_ips]
        octets = [found for each in outside if (found := octets_of(each)) is not None]
        octets = octets or [found for each in local if (found := octets_of(each)) is not None]
        return tuple(
            address_record(zone.nameserver, each, self._ttl) for each in dict.fromkeys(octets)
        )

    # -- Services --------------------------------------------------------------------------

    def _at(self, place: ExternalPlace, zone: ExternalZone, question: Question) -> Found:
        tree = self.cluster.tree
        if not tree.is_exposed(place.namespace.decode("utf-8", "replace")):
            return None
        if not place.service:
            return zone.nodata
        view = tree.view(place.namespace, place.service)
        backends = external_backends(view, place, headless=self._headless) if view else ()
        if not backends:
            return None
        return self._from_backends(question, zone, backends)

    def _from_backends(
        self, question: Question, zone: ExternalZone, backends: tuple[Backend, ...]
    ) -> Answer | Deferred[Answer]:
        qname, qtype = question.qname, question.qtype
        if qtype == SRV:
            found, additional = self._services(qname, backends, zone)
            return self._positive(found, additional) if found else zone.nodata
        octets = address_octets(backends, qtype)
        if octets:
            return self._positive(tuple(address_record(qname, o, self._ttl) for o in octets))
        alias = _alias_of(backends)
        if alias is None or qtype not in {A, AAAA, CNAME}:
            return zone.nodata
        chain = Record(qname, CNAME, self._ttl, alias)
        if qtype == CNAME:
            return self._positive((chain,))
        there = self.lookup.lookup(question, alias, qtype)
        return then(there, lambda answer: self._positive((chain, *answer.answer), tc=answer.tc))

    def _services(
        self, qname: bytes, backends: tuple[Backend, ...], zone: ExternalZone
    ) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
        """Return SRV records and addresses; a load balancer's host name is a target itself."""
        found, additional = srv_records(qname, backends, zone.name, self._ttl)
        weight = max(100 // len(backends), 1)
        more = [
            records.srv(qname, weight, backend.port, target, self._ttl)
            for backend in backends
            if backend.port >= 0 and (target := _host_name(backend.address)) is not None
        ]
        return tuple(dict.fromkeys((*found, *more))), additional

    def _pointers(self, qname: bytes, address: str) -> Answer | None:
        store, tree = self.cluster.store, self.cluster.tree
        keys = [(each.namespace, each.name) for each in store.services_by_external_ip(address)]
        owners = [_owner(*key) for key in keys if tree.is_exposed(key[0])]
        if not owners and self._headless:
            owners = [
                backend.owner
                for piece in store.slices_by_ip(address)
                for backend in self._endpoints(piece.namespace, piece.service)
                if backend.address == address
            ]
        targets = dict.fromkeys(owner + self._primary for owner in owners if owner)
        found = tuple(
            Record(qname, PTR, self._ttl, each)
            for each in targets
            if len(each) <= names.MAX_NAME_OCTETS
        )
        return self._positive(found) if found else None

    def _endpoints(self, namespace: str, service: str) -> tuple[Backend, ...]:
        tree = self.cluster.tree
        view = tree.view(namespace.encode("utf-8"), service.encode("utf-8"))
        if view is None or not tree.is_exposed(namespace):
            return ()
        place = ExternalPlace(namespace.encode("utf-8"), service.encode("utf-8"))
        return external_backends(view, place, headless=True)

    def _positive(
        self, answer: tuple[Record, ...], additional: tuple[Record, ...] = (), *, tc: bool = False
    ) -> Answer:
        return Answer(answer, (), additional, aa=True, tc=tc, source=self.word)

    # -- ITransferable ---------------------------------------------------------------------

    def zones(self) -> tuple[bytes, ...]:
        """Return every zone served here."""
        return tuple(zone.name for zone in self._made)

    def zone_serial(self, zone: bytes) -> int | None:
        """Return the serial of one of the zones, None for any other name."""
        return None if self._zones.get(zone) is None else self.cluster.store.external_serial

    def zone_records(self, zone: bytes) -> Iterator[Record]:
        """Yield the zone: SOA, name server, every Service at its name and ports, SOA."""
        found = self._zones.get(zone)
        if found is None:
            return
        here = self._current(found)
        yield here.soa
        yield Record(here.name, NS, self._ttl, here.nameserver)
        yield from self._name_server_addresses(here)
        if not here.is_reverse:
            for view in self.cluster.tree.exposed_views():
                yield from dict.fromkeys(self._records_of(view, here))
        yield here.soa

    def _records_of(self, view: ServiceView, zone: ExternalZone) -> Iterator[Record]:
        service = view.service
        place = ExternalPlace(service.namespace.encode("utf-8"), service.name.encode("utf-8"))
        backends = external_backends(view, place, headless=self._headless)
        name = _owner(service.namespace, service.name) + zone.name
        if not backends or len(name) > names.MAX_NAME_OCTETS:
            return
        octets = [found for each in backends if (found := octets_of(each.address)) is not None]
        alias = _alias_of(backends)
        if octets:
            yield from (address_record(name, each, self._ttl) for each in dict.fromkeys(octets))
        elif alias is not None:
            yield Record(name, CNAME, self._ttl, alias)
            return  # an alias stands alone (RFC 1034 §3.6.2)
        yield from self._services(name, backends, zone)[0]


def _owner(namespace: str, service: str) -> bytes:
    """Return ``<service>.<namespace>`` as labels left of a zone; b"" for what no name holds."""
    try:
        return names.from_labels((service.encode("utf-8"), namespace.encode("utf-8")))[:-1]
    except names.BadName:
        return b""


def _host_name(text: str) -> bytes | None:
    """Return a load balancer's host name in wire form, None for an address or no name."""
    if octets_of(text) is not None:
        return None
    try:
        return names.from_text(text)
    except names.BadName:
        return None


def _alias_of(backends: Iterable[Backend]) -> bytes | None:
    """Return the first host name, unless there is an address: an alias stands alone."""
    texts = [backend.address for backend in backends]
    if any(octets_of(text) is not None for text in texts):
        return None
    return next((found for text in texts if (found := _host_name(text)) is not None), None)
