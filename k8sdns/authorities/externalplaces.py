"""Names of Services below an outside zone, and what stands behind them.

Owns: the grammar ``[endpoint. | _port._protocol.]service.namespace``, and which addresses count as
outside. Refuses to know zones, TTLs and records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from k8sdns import names
from k8sdns.authorities.backends import NO_PORT, Backend, ServiceView
from k8sdns.authorities.schema import SERVICE_TREE
from k8sdns.cluster.model import Port

_NO_PORTS = (Port("", NO_PORT, ""),)
_TREE_OCTETS = 1 + len(SERVICE_TREE)


class ExternalPlace(NamedTuple):
    """One name in lower-case labels; what is not in it is empty."""

    namespace: bytes
    service: bytes = b""
    endpoint: bytes = b""
    port: bytes = b""
    protocol: bytes = b""


def parse_external(labels: Sequence[bytes]) -> ExternalPlace | None:
    """Return the place of the labels left of a zone, at least one; None if there can be none."""
    if len(labels) > 4:
        return None
    if len(labels) == 4:
        port, protocol, service, namespace = labels
        return ExternalPlace(namespace, service, b"", _bare(port), _bare(protocol))
    if len(labels) == 3:
        return ExternalPlace(labels[2], labels[1], labels[0])
    return ExternalPlace(labels[-1], labels[0] if len(labels) == 2 else b"")


def _bare(label: bytes) -> bytes:
    return label.removeprefix(b"_")


def external_backends(
    view: ServiceView, place: ExternalPlace, *, headless: bool
) -> tuple[Backend, ...]:
    """Return what `place` of a Service stands for outside; () means that the name does not exist.

    Outside addresses are spec.externalIPs and those of load balancers. With `headless` a Service
    without any is known by its endpoints: headless ones by their own name, others by the names of
    the endpoints alone (CoreDNS).
    """
    service = view.service
    found: Iterator[Backend]
    if service.external_ips:
        found = iter(()) if place.endpoint else _outside(view)
    elif headless and (service.is_headless or place.endpoint):
        found = _endpoints(view, place.endpoint)
    else:
        return ()
    return tuple(backend for backend in found if _is_at_port(backend, place))


def _outside(view: ServiceView) -> Iterator[Backend]:
    service = view.service
    labels = (service.name.encode("utf-8"), service.namespace.encode("utf-8"))
    try:
        owner = names.from_labels(labels)[:-1]
    except names.BadName:
        return
    for address in service.external_ips:
        for port in service.ports or _NO_PORTS:
            name, protocol = port.name.lower(), port.protocol.lower()
            yield Backend(owner, address, port.port, name.encode(), protocol.encode())


def _endpoints(view: ServiceView, label: bytes) -> Iterator[Backend]:
    """Yield endpoints under their outside names, which have no label for the tree."""
    for backend in view.endpoints():
        own = backend.owner[1 : backend.owner[0] + 1]
        if not label or own == label:
            yield backend._replace(owner=backend.owner[:-_TREE_OCTETS])


def _is_at_port(backend: Backend, place: ExternalPlace) -> bool:
    return place.port in (b"", backend.port_name) and place.protocol in (b"", backend.protocol)
