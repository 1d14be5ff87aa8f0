"""The authority for a cluster's names: Services, endpoints, pods, and the way back from addresses.

Owns: which of the zone's kinds of name a question is about, and which denial a missing one gets.
Refuses to know where cluster objects come from, transports, and what other authorities there are.

Positive answers are remembered until the object behind them changes; denials are one object a
zone. Everything is made from the store as it is now: there is no time in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakMethod

from twisted.internet.defer import Deferred
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question, extended_error
from k8sdns.authorities.backends import Backend, ServiceView, address_octets
from k8sdns.authorities.base import Authority
from k8sdns.authorities.externalname import Chase
from k8sdns.authorities.livezone import LiveZone, LiveZones, Options
from k8sdns.authorities.memo import MAX_ANSWERS, Memo
from k8sdns.authorities.metadata import client_labels, place_labels
from k8sdns.authorities.nameserver import nameservers
from k8sdns.authorities.pods import DISABLED, VERIFIED
from k8sdns.authorities.schema import POD_TREE, SERVICE_TREE, VERSION, Place, parse
from k8sdns.authorities.srv import address_record, srv_records
from k8sdns.authorities.tree import ClusterTree
from k8sdns.authorities.zonetransfer import transfer_records
from k8sdns.cluster.model import Pod, Service
from k8sdns.cluster.store import Store
from k8sdns.interfaces import (
    IClusterView,
    ILookup,
    IMetadata,
    IReadiness,
    IRepeatable,
    ISearchPath,
    ITransferable,
)
from k8sdns.records import AAAA, AXFR, CNAME, IXFR, NS, PTR, SOA, SRV, TXT, A, Record

SCHEMA_VERSION: Final = b"1.1.0"
SCHEMA_VERSION_TTL: Final = 28800  # seconds

STALE_TTL: Final = 5
"""Longest TTL, in seconds, of what is answered from a copy."""
STALE: Final = extended_error(3, "from a copy; the API server has not answered yet")
"""Stale Answer (RFC 8914 §4.4)."""

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


@implementer(IRepeatable, IReadiness, ITransferable, IMetadata, ISearchPath, IClusterView)
class KubernetesAuthority(Authority):
    """Answers for the zones of one cluster from its store (Kubernetes DNS specification 1.1.0).

    `zones` are lower-case wire names; the first that is no reverse zone is the primary one, the
    suffix of PTR targets. `ttl` is in seconds. `pods` is ``disabled``, ``insecure`` or
    ``verified``. `namespaces` limits what is exposed, None for all. `fallthrough` are the zones
    whose missing names are left to the next authority. `local_addresses` are the addresses that
    others reach this server by, `search` the host's own search list, for autopath.
    Attribute `lookup` asks the whole server for the targets of ExternalName Services; without it
    an alias that leads out of the zone is answered alone.
    """

    word = repeats_as = "kubernetes"

    def __init__(
        self,
        store: Store,
        zones: Iterable[bytes],
        *,
        ttl: int = 5,
        pods: str = DISABLED,
        namespaces: frozenset[str] | None = None,
        endpoint_pod_names: bool = False,
        ignore_empty_service: bool = False,
        noendpoints: bool = False,
        zonal: bool = False,
        fallthrough: Iterable[bytes] = (),
        local_addresses: Iterable[str] = (),
        search: Iterable[bytes] = (),
        lookup: ILookup | None = None,
        memo_bound: int = MAX_ANSWERS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store = store
        self.lookup = lookup
        self._longest_ttl = self._configured_ttl = self._ttl = ttl
        self._options: Options = ()
        self._version_ttl = SCHEMA_VERSION_TTL
        self._zonal = zonal
        self.local_addresses = tuple(local_addresses)
        self._search = tuple(search)
        self.tree = ClusterTree(
            store,
            pods=pods,
            namespaces=namespaces,
            endpoint_pod_names=endpoint_pod_names,
            ignore_empty_service=ignore_empty_service,
            noendpoints=noendpoints,
        )
        self._zones = LiveZones(zones, self.word, fallthrough)
        self._refused = Answer(rcode=records.REFUSED, source=self.word)
        self._memo = Memo(memo_bound)
        self._probe = self._memo.answers.get
        self._below: dict[bytes, Below] = {}
        self._find_below = self._below.get
        self._is_outdated = True
        self.kinds = self.tree.kinds
        self._is_synced = False
        self._unsubscribe = _follow(store, self)
        store.when_synced(self.kinds, self._synced)

    def close(self) -> None:
        """Stop following the store; nothing that was said is current any longer."""
        self._unsubscribe()
        self._memo.clear()
        self._outdate()

    def limit_ttl(self, ceiling: int) -> None:
        """Make every TTL at most `ceiling` seconds from now on: what `cache` asks of its block."""
        self._longest_ttl = self._ttl = min(self._configured_ttl, ceiling)
        self._version_ttl = min(SCHEMA_VERSION_TTL, ceiling)
        self._memo.clear()
        self._outdate()

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
        if below is not None and qname[1:at] not in below.services and qtype not in _APART:
            zone = below.zone
            question.zone, question.zone_at = zone.name, at + below.zone_at
            return self._missing(question, zone)
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
        return self._missing(question, zone) if made is None else made

    def never_answers(self, question: Question) -> bool:
        """Pass on for ever what is in none of the zones."""
        return self._zones.match(question.qname) is None

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

    def name_servers(self, zone: LiveZone) -> list[tuple[bytes, bytes]]:
        """Return (name, octets of an address) of those who serve `zone`."""
        return nameservers(self.store, zone, self.local_addresses, pod_names=self.tree.pod_names)

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
                return self._empty(zone) if view.service.is_headless else zone.nodata
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

    # -- following the store -----------------------------------------------------------------

    def changed(self, kind: str, namespace: str, name: str) -> None:
        """Forget what an object's change makes untrue; signature of the store's subscribers."""
        self._memo.changed(kind, namespace, name)
        self.tree.changed(namespace, name)
        self._outdate()

    def _outdate(self) -> None:
        if not self._is_outdated:
            self._is_outdated = True
            for zone in self._zones:
                zone.outdate()

    def _synced(self) -> None:
        self._is_synced = True
        if self._options:
            self._memo.clear()
            self._outdate()

    def _renew(self) -> None:
        self._is_outdated = False
        self._below.clear()
        is_copy = not self._is_synced and self.store.recalled_at is not None
        self._options = (STALE,) if is_copy else ()
        self._ttl = min(self._longest_ttl, STALE_TTL) if is_copy else self._longest_ttl
        serial = self.store.serial
        for zone in self._zones:
            zone.renew(serial, self._ttl, self._options)

    # -- IReadiness ------------------------------------------------------------------------------

    def waits_for(self) -> str:
        """Return the kinds of objects that have not been listed yet, "" when there are none."""
        return ", ".join(kind for kind in self.kinds if not self.store.is_synced((kind,)))

    # -- ITransferable ---------------------------------------------------------------------------

    def zones(self) -> tuple[bytes, ...]:
        """Return every zone served here."""
        return tuple(zone.name for zone in self._zones)

    def zone_serial(self, zone: bytes) -> int | None:
        """Return the serial of one of the zones, None for any other name."""
        return self.store.serial if self._zones.get(zone) is not None else None

    def zone_records(self, zone: bytes) -> Iterator[Record]:
        """Yield the whole zone (RFC 5936 §2.2); see `transfer_records`."""
        if self._is_outdated:
            self._renew()
        live = self._zones.get(zone)
        if live is None:
            return iter(())
        views = self.tree.exposed_views()
        return transfer_records(live, self.name_servers(live), views, self._ttl)

    # -- IMetadata, ISearchPath --------------------------------------------------------------------

    def describe(self, question: Question, labels: dict[str, str]) -> None:
        """Say which object a question is about, and which pod asks, as CoreDNS labels it."""
        found = self._zones.match(question.qname)
        if found is None:
            return
        pod = self._client(question)
        if pod is not None:
            labels.update(client_labels(pod))
        labels.update(place_labels(parse(found[1], zonal=self._zonal)))

    def search_path(self, question: Question) -> tuple[bytes, ...]:
        """Return the search list of the pod that asks, () if it is not known or not our zone's."""
        found = self._zones.match(question.qname)
        pod = self._client(question)
        if found is None or pod is None:
            return ()
        zone = found[0].name
        services = names.from_labels((SERVICE_TREE,), zone)
        namespace = names.from_labels((pod.namespace.encode("utf-8"),), services)
        return (namespace, services, zone, *self._search)

    def _client(self, question: Question) -> Pod | None:
        if self.tree.pods != VERIFIED:
            return None
        return self.store.client_pod(question.peer.host)


def _follow(store: Store, authority: KubernetesAuthority) -> Callable[[], None]:
    """Tell `authority` of changes for as long as somebody else has it; return what ends that.

    The store outlives a reload that fails, and what such a reload built is never told to close.
    """

    def changed(kind: str, namespace: str, name: str) -> None:
        tell = method()
        if tell is not None:
            tell(kind, namespace, name)

    method = WeakMethod(authority.changed, lambda _method: unsubscribe())
    unsubscribe = store.subscribe(changed)
    return unsubscribe
