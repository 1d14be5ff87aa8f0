"""An authority that follows a cluster: its zones, serial and TTLs, and its faces but `answer`.

Owns: when what was said of a cluster ends to be current, and what other directives may ask of the
authority: readiness, transfers, labels, search lists. Refuses to know how questions are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypedDict
from weakref import WeakMethod

from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Question, extended_error
from k8sdns.authorities.base import Authority
from k8sdns.authorities.livezone import LiveZone, LiveZones, Options
from k8sdns.authorities.metadata import client_labels, place_labels
from k8sdns.authorities.nameserver import nameservers
from k8sdns.authorities.pods import DISABLED, VERIFIED
from k8sdns.authorities.schema import SERVICE_TREE, parse
from k8sdns.authorities.tree import ClusterTree
from k8sdns.authorities.zonetransfer import transfer_records
from k8sdns.cluster.model import Pod
from k8sdns.cluster.store import Store
from k8sdns.interfaces import (
    IClusterView,
    IMetadata,
    IReadiness,
    IRepeatable,
    ISearchPath,
    ITransferable,
)
from k8sdns.records import Record

SCHEMA_VERSION_TTL: Final = 28800  # seconds

STALE_TTL: Final = 5
"""Longest TTL, in seconds, of what is answered from a copy."""
STALE: Final = extended_error(3, "from a copy; the API server has not answered yet")
"""Stale Answer (RFC 8914 §4.4)."""


class ClusterOptions(TypedDict, total=False):
    """What a cluster's authority can be told; see `ClusterAuthority`."""

    ttl: int
    pods: str
    namespaces: frozenset[str] | None
    endpoint_pod_names: bool
    ignore_empty_service: bool
    noendpoints: bool
    zonal: bool
    fallthrough: Iterable[bytes]
    local_addresses: Iterable[str]
    search: Iterable[bytes]


@implementer(IRepeatable, IReadiness, ITransferable, IMetadata, ISearchPath, IClusterView)
class ClusterAuthority(Authority):
    """Follows the store of one cluster; derive and write `answer`.

    `zones` are lower-case wire names; the first that is no reverse zone is the primary one, the
    suffix of PTR targets. `ttl` is in seconds. `pods` is ``disabled``, ``insecure`` or
    ``verified``. `namespaces` limits what is exposed, None for all. `fallthrough` are the zones
    whose missing names are left to the next authority. `local_addresses` are the addresses that
    others reach this server by, `search` the host's own search list, for autopath.
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
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store = store
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
        self._is_outdated = True
        self.kinds = self.tree.kinds
        self._is_synced = False
        self._is_closed = False
        self._unsubscribe = _follow(store, self)
        store.when_synced(self.kinds, self._synced)

    def _forget_all(self) -> None:
        """Forget every answer; for those who remember any."""

    def _forget(self, kind: str, namespace: str, name: str) -> None:
        """Forget the answers that were made of one object; for those who remember any."""

    def close(self) -> None:
        """Stop following the store; nothing that was said is current any longer."""
        self._is_closed = True
        self._unsubscribe()
        self._forget_all()
        self._outdate()

    def limit_ttl(self, ceiling: int) -> None:
        """Make every TTL at most `ceiling` seconds from now on: what `cache` asks of its block."""
        self._longest_ttl = self._ttl = min(self._configured_ttl, ceiling)
        self._version_ttl = min(SCHEMA_VERSION_TTL, ceiling)
        self._forget_all()
        self._outdate()

    # -- following the store -----------------------------------------------------------------

    def changed(self, kind: str, namespace: str, name: str) -> None:
        """Forget what an object's change makes untrue; signature of the store's subscribers."""
        self._forget(kind, namespace, name)
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
            self._forget_all()
            self._outdate()

    def _renew(self) -> None:
        self._is_outdated = False
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

    def never_answers(self, question: Question) -> bool:
        """Pass on for ever what is in none of the zones."""
        return self._zones.match(question.qname) is None

    def never_answers_below(self, _question: Question, parent: bytes) -> bool:
        """Pass on what is below `parent` if neither that nor any zone below it is ours."""
        return self._zones.match(parent) is None and not self._zones.are_below(parent)

    def name_servers(self, zone: LiveZone) -> list[tuple[bytes, bytes]]:
        """Return (name, octets of an address) of those who serve `zone`."""
        return nameservers(self.store, zone, self.local_addresses, pod_names=self.tree.pod_names)

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


def _follow(store: Store, authority: ClusterAuthority) -> Callable[[], None]:
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
