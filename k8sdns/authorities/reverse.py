"""Which names an address has: the Service with this virtual address, else the endpoints.

Owns: the order of preference of PTR records. Refuses to know zones and questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from k8sdns.authorities.backends import service_labels
from k8sdns.authorities.endpoints import endpoint_label
from k8sdns.cluster.model import EndpointSlice
from k8sdns.cluster.store import Store


def pointer_owners(
    store: Store,
    address: str,
    is_exposed: Callable[[str], bool],
    *,
    endpoints: bool = True,
    pod_names: bool = False,
) -> list[bytes]:
    """Return the names of an address as labels left of the primary zone, [] if it has none.

    A virtual address has one name; an endpoint has one in each Service that selects it
    (Kubernetes DNS specification §2.3.3, §2.4.3). `is_exposed` judges namespaces.
    """
    service = store.service_by_ip(address)
    if service is not None and is_exposed(service.namespace):
        owner = service_labels(service.namespace, service.name)
        return [owner] if owner else []
    if not endpoints:
        return []
    found: dict[bytes, None] = {}
    for piece in store.slices_by_ip(address):
        if is_exposed(piece.namespace):
            found.update(dict.fromkeys(endpoint_owners(piece, address, pod_names=pod_names)))
    return list(found)


def endpoint_owners(
    piece: EndpointSlice, address: str, *, pod_names: bool = False
) -> Iterator[bytes]:
    """Yield the names, as labels left of the zone, of the endpoints of a slice at `address`."""
    service = service_labels(piece.namespace, piece.service)
    for endpoint in piece.endpoints:
        if service and address == endpoint.address:
            label = endpoint_label(endpoint, pod_names=pod_names)
            if 0 < len(label) < 64:
                yield bytes((len(label),)) + label + service
