"""The authority for a cluster's names: Services, endpoints, pods, and the way back from addresses.

Owns: which of the zone's kinds of name a question is about, and which denial a missing one gets.
Refuses to know where cluster objects come from, transports, and what other authorities there are.

Positive answers are remembered until the object behind them changes; denials are one object a
zone. Everything is made from the store as it is now: there is no time in here.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, Unpack

from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Question, ZoneDenial
from k8sdns.authorities.backends import Backend, ServiceView, address_octets
from k8sdns.authorities.clusterauthority import ClusterAuthority, ClusterOptions
from k8sdns.authorities.enclosers import Enclosers, lacks
from k8sdns.authorities.externalname import Chase
from k8sdns.authorities.livezone import LiveZone
from k8sdns.authorities.memo import MAX_ANSWERS, Memo
from k8sdns.authorities.schema import POD_TREE, SERVICE_TREE, VERSION, Place, parse
from k8sdns.authorities.srv import address_record, srv_records
from k8sdns.cluster.model import Service
from k8sdns.cluster.store import Store
from k8sdns.interfaces import ILookup
from k8sdns.records import AAAA, AXFR, CNAME, IXFR, NS, PTR, SOA, SRV, TXT, A, Record

SCHEMA_VERSION: Final = b"1.1.0"
Found: TypeAlias = Answer | Deferred[Any] | None
"""An Answer, a Deferred of one, or None for a name that does not exist."""

_NAMESERVER = [b"ns", b"dns"]
_TREES = frozenset({SERVICE_TREE, POD_TREE})
_ADDRESSES = frozenset({A, AAAA})
_APART = frozenset({SOA, PTR, AXFR, IXFR})
_LABELS_OF_SERVICE = 3  # name, namespace, svc


class Below(NamedTuple):
    """The names right below one namespace, until anything changes."""

    zone: LiveZone
    zone_at: int  # where the zone begins in the namespace's own name
    services: Mapping[bytes, Service]


class KubernetesAuthority(ClusterAuthority):
    """Answers for the zones of one cluster from its store (Kubernetes DNS specification 1.1.0).

    The arguments are those of `ClusterAuthority`; of two more, `lookup` asks the whole server for
    the targets of ExternalName Services (without it an alias that leads out of the zone is answered
    alone), and `memo_bound` is how many positive answers are remembered.
    """

    def __init__(
        self,
        store: Store,
        zones: Iterable[bytes],
        *,
        lookup: ILookup | None = None,
        memo_bound: int = MAX_ANSWERS,
        **options: Unpack[ClusterOptions],
    ) -> None:
        self.lookup = lookup
        self._memo = Memo(memo_bound)
        self._probe = self._memo.answers.get
        self._below: dict[bytes, Below] = {}
        self._find_below = self._below.get
        self._refused = Answer(rcode=records.REFUSED, source=self.word)
        super().__init__(store, zones, **options)
        self._enclosers = Enclosers(store, may_hide=self.tree.ignores_empty)

    def _forget_all(self) -> None:
        self._memo.clear()

    def _forget(self, kind: str, namespace: str, name: str) -> None:
        self._memo.changed(kind, namespace, name)

    def _renew(self) -> None:
        self._below.clear()
        super()._renew()

    # -- IAuthority ------------------------------------------------------------------------

    def answer(self, question: Question) -> Found:
        """Answer from the cluster; None for other zones and for what falls through."""
        qname, qtype = question.qname, question.qtype
        answer = self._probe((qname, qtype))
        if answer is not None:
            return answer
        if self._is_outdated:
            self._renew()
        at = qname[0] + 1
        below = self._find_below(qname[at:])
        if below is not None and qtype not in _APART:
            label, services, zone = qname[1:at], below.services, below.zone
            if label not in services:
                self._place(question, below, at)
                return self._missing(question, zone)
            if not self.tree.ignores_empty and lacks(services[label], qtype):
                self._place(question, below, at)
                return zone.nodata
        found = self._zones.match(qname)
        if found is None:
            return None
        zone, labels, question.zone_at = found
        question.zone = zone.name
        if qtype in _APART:
            made = self._answer_apart(question, zone, labels)
        elif labels and labels[-1] in _TREES and not zone.is_reverse:
            made = self._answer_in_tree(question, zone, labels)
        else:
            made = self._answer_at_top(question, zone, labels)
        if made is not None:
            return made
        if zone.holds_objects_alone:
            question.encloser = self._enclosers.of(question, labels, self)
        return self._missing(question, zone)

    def denial_now(
        self, denial: ZoneDenial, children: Container[bytes], label: bytes
    ) -> Answer | None:
        """Return what a denial below an encloser has become; None: find it out anew.

        `children` are what the encloser was said to have, `label` is the first of its own.
        """
        zone = self._zones.get(denial.zone)
        if zone is None or self._is_closed or not self._enclosers.are_still(children, label):
            return None
        if self._is_outdated:
            self._renew()
        return zone.nxdomain if denial.rcode == records.NXDOMAIN else zone.nodata

    def _place(self, question: Question, below: Below, at: int) -> None:
        """Note where a question right below a namespace stands, for whoever denies it."""
        zone = below.zone
        question.zone, question.zone_at = zone.name, at + below.zone_at
        if zone.holds_objects_alone:
            question.encloser = self._enclosers.around(below.services, at, question.qtype, self)

    def _missing(self, question: Question, zone: LiveZone) -> Answer | None:
        """Deny a name, unless that would be a lie: before the first listing nobody can know."""
        if not self._is_synced:
            return zone.unready(self.waits_for())
        if zone.may_fall and zone.falls_through(question.qname):
            return None
        return zone.nxdomain

    # -- the top of a zone ---------------------------------------------------------------------

    def _answer_apart(self, question: Question, zone: LiveZone, labels: list[bytes]) -> Found:
        """Answer the types whose answers do not hang on a name's place in the tree."""
        qtype = question.qtype
        if qtype == SOA:
            return zone.nodata if labels else zone.soa_answer
        if qtype != PTR:
            return self._refused
        address = names.address_of(question.qname)
        if address is not None:
            return self._pointers(question, address)
        if labels and labels[-1] in _TREES and not zone.is_reverse:
            return self._answer_in_tree(question, zone, labels)
        return self._answer_at_top(question, zone, labels)

    def _answer_at_top(
        self, question: Question, zone: LiveZone, labels: list[bytes]
    ) -> Answer | None:
        """Answer the apex, ``dns-version``, ``ns.dns`` and the names of addresses."""
        qtype = question.qtype
        if not labels:
            return self._name_servers(zone) if qtype == NS else zone.nodata
        if labels == [VERSION]:
            return self._version(question.qname) if qtype == TXT else None
        if labels == _NAMESERVER:
            return self._name_server_addresses(question, zone)
        address = names.address_of(question.qname)
        if address is not None and self.tree.owners_of(address):
            return zone.nodata
        return None

    def _version(self, qname: bytes) -> Answer:
        return self._positive((records.txt(qname, (SCHEMA_VERSION,), self._version_ttl),))

    def _name_servers(self, zone: LiveZone) -> Answer:
        found = self.name_servers(zone)
        if not found:
            return zone.nodata
        ttl = self._ttl
        servers = tuple(
            Record(zone.name, NS, ttl, name) for name in dict.fromkeys(n for n, _ in found)
        )
        return self._positive(servers, tuple(address_record(n, octets, ttl) for n, octets in found))

    def _name_server_addresses(self, question: Question, zone: LiveZone) -> Answer:
        qname, ttl = question.qname, self._ttl
        octets = dict.fromkeys(octets for _, octets in self.name_servers(zone))
        found = tuple(address_record(qname, o, ttl) for o in octets)
        wanted = tuple(record for record in found if record.rtype == question.qtype)
        return self._positive(wanted) if wanted else zone.nodata

    # -- the way back from addresses ---------------------------------------------------------

    def _pointers(self, question: Question, address: str) -> Answer | None:
        targets = [owner + self._zones.primary for owner in self.tree.owners_of(address)]
        found = tuple(
            Record(question.qname, PTR, self._ttl, target)
            for target in targets
            if len(target) <= names.MAX_NAME_OCTETS
        )
        if not found:
            return None
        answer = self._positive(found)
        self._memo.keep_until_any_change((question.qname, PTR), answer)
        return answer

    # -- svc and pod ---------------------------------------------------------------------------

    def _answer_in_tree(self, question: Question, zone: LiveZone, labels: list[bytes]) -> Found:
        place = parse(labels, zonal=self._zonal)
        if place is None:
            return None
        namespace = place.namespace
        if not namespace:
            return zone.nodata
        if not self.tree.has_namespace(place):
            return None
        if not place.service:
            return zone.nodata
        if place.tree == POD_TREE:
            found = self.tree.pod(place)
            return self._from_backends(question, zone, found) if found else None
        view = self.tree.view(namespace, place.service)
        if view is None:
            if len(labels) == _LABELS_OF_SERVICE:
                self._remember(question, zone, namespace)
            return None
        if view.is_external:
            return self._external(question, zone, place, view)
        return self._service(question, zone, place, view)

    def _remember(self, question: Question, zone: LiveZone, namespace: bytes) -> None:
        """Keep what lies right below a namespace that exists: names missing there are many."""
        at = question.qname[0] + 1
        parent = question.qname[at:]
        if not any(names.is_subdomain(each.name, parent) for each in self._zones):
            services = self.store.services_in.get(namespace, {})
            self._below[parent] = Below(zone, question.zone_at - at, services)

    def _service(
        self, question: Question, zone: LiveZone, place: Place, view: ServiceView
    ) -> Answer | None:
        """Answer a name of a Service that is no alias."""
        answer: Answer | None
        if place.zonal:
            chosen = view.select_zonal(place)
            answer = None if chosen is None else self._from_backends(question, zone, chosen)
        elif not place.endpoint and not place.has_port and question.qtype != SRV:
            octets = view.addresses(question.qtype if question.qtype in _ADDRESSES else A)
            if octets is None:
                return None
            if not octets or question.qtype not in _ADDRESSES:
                return self._without(question, zone, place, view.service)
            answer = self._addresses(question, octets)
        else:
            backends = view.select(place)
            answer = self._from_backends(question, zone, backends) if backends else None
        if answer is not None and answer.answer:
            service = view.service
            key = (question.qname, question.qtype)
            self._memo.keep(key, answer, service.namespace, service.name)
        return answer

    def _from_backends(
        self, question: Question, zone: LiveZone, backends: tuple[Backend, ...]
    ) -> Answer:
        """Answer a name that exists: addresses, SRV records, or NODATA."""
        if question.qtype == SRV:
            found, additional = srv_records(question.qname, backends, zone.name, self._ttl)
            return self._positive(found, additional) if found else self._empty(zone)
        octets = address_octets(backends, question.qtype)
        return self._addresses(question, octets) if octets else self._empty(zone)

    def _without(
        self, question: Question, zone: LiveZone, place: Place, service: Service
    ) -> Answer:
        """Say that a Service has no such records at its own name."""
        if service.is_headless:
            return self._empty(zone)
        self._remember(question, zone, place.namespace)
        if zone.holds_objects_alone:
            services = self.store.services_in[place.namespace]
            at = question.qname[0] + 1
            question.encloser = self._enclosers.around(services, at, question.qtype, self)
        return zone.nodata

    def _empty(self, zone: LiveZone) -> Answer:
        """Say that endpoints have no such records; before the first listing nobody can know."""
        if self._is_synced or self._options:
            return zone.nodata
        return zone.unready(self.waits_for())

    def _addresses(self, question: Question, octets: tuple[bytes, ...]) -> Answer:
        qname, qtype, ttl = question.qname, question.qtype, self._ttl
        return self._positive(tuple([Record(qname, qtype, ttl, each) for each in octets]))

    def _positive(self, answer: tuple[Record, ...], additional: tuple[Record, ...] = ()) -> Answer:
        return Answer(answer, (), additional, aa=True, source=self.word, options=self._options)

    # -- aliases -------------------------------------------------------------------------------

    def _external(
        self, question: Question, zone: LiveZone, place: Place, view: ServiceView
    ) -> Found:
        """Answer an ExternalName Service; below its own name there is nothing."""
        target = view.alias
        if target is None or place.endpoint or place.has_port or place.zonal:
            return None
        key = (question.qname, question.qtype)
        if question.qtype == CNAME:
            answer = self._positive((Record(question.qname, CNAME, self._ttl, target),))
            self._memo.keep(key, answer, view.service.namespace, view.service.name)
            return answer
        if question.qtype not in _ADDRESSES:
            return zone.nodata
        chase = Chase(
            question, zone.name, self._ttl, lambda name: self._step(question, name), self.lookup
        )
        found = chase.follow(target, self.word)
        if self._options and isinstance(found, Answer):
            found = found.replace(options=(*found.options, *self._options))
        if isinstance(found, Answer) and not chase.left_zone:
            self._memo.keep_until_any_change(key, found)
        if found is not None:
            return found
        return zone.nodata if self._is_synced else None

    def _step(self, question: Question, name: bytes) -> tuple[bytes, ...] | bytes:
        """Return what an alias inside the zone leads to: another alias, or addresses."""
        view = self._external_at(name)
        if view is not None and view.alias is not None:
            return view.alias
        inner = self.answer(Question(name, question.qtype))
        if not isinstance(inner, Answer):
            return ()
        return tuple(record.rdata for record in inner.answer if record.rtype == question.qtype)

    def _external_at(self, name: bytes) -> ServiceView | None:
        """Return the ExternalName Service of exactly this name, if it is exposed."""
        found = self._zones.match(name)
        if found is None or found[0].is_reverse:
            return None
        place = parse(found[1])
        if place is None or place.tree != SERVICE_TREE or not place.service:
            return None
        if place.endpoint or place.has_port or not self.tree.has_namespace(place):
            return None
        view = self.tree.view(place.namespace, place.service)
        return view if view is not None and view.is_external else None
