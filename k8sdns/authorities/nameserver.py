"""Who serves the zone: the Services that have this server behind them, else ``ns.dns``.

Owns: the names for NS records and their addresses. Refuses to know what local addresses are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from k8sdns import names
from k8sdns.authorities.backends import service_labels
from k8sdns.authorities.endpoints import octets_of
from k8sdns.authorities.livezone import LiveZone
from k8sdns.authorities.reverse import endpoint_owners
from k8sdns.cluster.model import EndpointSlice
from k8sdns.cluster.store import Store


def nameservers(
    store: Store, zone: LiveZone, local_addresses: Iterable[str], *, pod_names: bool = False
) -> list[tuple[bytes, bytes]]:
    """Return distinct (name in wire form, octets of an address) of the zone's name servers.

    `local_addresses` are those of this server that others reach it by (CoreDNS: every interface
    but loopback).
    """
    local = list(local_addresses)
    found = [
        (owner + zone.name, address)
        for here in local
        for piece in store.slices_by_ip(here)
        for owner, address in _fronts(store, piece, here, pod_names=pod_names)
    ]
    pairs = found or [(zone.nameserver, here) for here in local]
    return [
        (name, octets)
        for name, address in dict.fromkeys(pairs)
        if (octets := octets_of(address)) is not None and len(name) <= names.MAX_NAME_OCTETS
    ]


def _fronts(
    store: Store, piece: EndpointSlice, here: str, *, pod_names: bool
) -> Iterator[tuple[bytes, str]]:
    """Yield the names and addresses of the Service of a slice that has us behind it."""
    service = store.services.get((piece.namespace, piece.service))
    if service is None or service.type == "ExternalName":
        return
    if service.is_headless:
        for owner in endpoint_owners(piece, here, pod_names=pod_names):
            yield owner, here
    else:
        owner = service_labels(service.namespace, service.name)
        for address in service.cluster_ips if owner else ():
            yield owner, address
