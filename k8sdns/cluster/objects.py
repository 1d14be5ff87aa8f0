"""API objects as they come, typed, and how each becomes the DNS view of itself.

Owns: which fields of an object matter, and CoreDNS's rules for reading them.
Refuses to know how objects travel: `msgspec.json` decodes these types from the wire of an API
server, `msgspec.convert` from parsed YAML.

Go writes null for every empty list, string map and struct, so every field but a name takes None.
Fields that are not named here are skipped at about 1 GB/s and never become Python objects.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import field

from k8sdns.cluster.model import (
    Endpoint,
    EndpointSlice,
    Kind,
    Namespace,
    Pod,
    Port,
    Service,
    Thing,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"

_NO_PORTS = (Port("", -1, ""),)
_MAX_SHARED_PORTS = 4096
_MAX_TARGET_LENGTH = 63
_FINISHED = frozenset({"Succeeded", "Failed", "Unknown"})

_shared_ports: dict[tuple[Port, ...], tuple[Port, ...]] = {_NO_PORTS: _NO_PORTS}


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """What every object says of itself; `deletion_timestamp` matters for Pods."""

    name: str = ""
    namespace: str | None = None
    resource_version: str | None = None
    deletion_timestamp: str | None = None


class PortEntry(msgspec.Struct, gc=False):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class ServiceSpec(msgspec.Struct, gc=False, rename="camel"):
    type: str | None = None
    cluster_ip: str | None = field(default=None, name="clusterIP")
    cluster_ips: tuple[str, ...] | None = field(default=None, name="clusterIPs")
    external_name: str | None = None
    external_ips: tuple[str, ...] | None = field(default=None, name="externalIPs")
    ports: tuple[PortEntry, ...] | None = None
    selector: Any = None


class Ingress(msgspec.Struct, gc=False):
    ip: str | None = None
    hostname: str | None = None


class LoadBalancer(msgspec.Struct, gc=False):
    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(msgspec.Struct, gc=False, rename="camel"):
    load_balancer: LoadBalancer | None = None


class ServiceObject(msgspec.Struct, gc=False):
    """v1 Service."""

    metadata: Metadata
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


class SliceLabels(msgspec.Struct, gc=False):
    service: str | None = field(default=None, name=SERVICE_NAME_LABEL)


class SliceAnnotations(msgspec.Struct, gc=False):
    triggered: str | None = field(default=None, name=TRIGGER_ANNOTATION)


class SliceMetadata(Metadata, gc=False, rename="camel"):
    labels: SliceLabels | None = None
    annotations: SliceAnnotations | None = None


class Conditions(msgspec.Struct, gc=False):
    ready: bool | None = None


class TargetRef(msgspec.Struct, gc=False):
    name: str | None = None


class EndpointEntry(msgspec.Struct, gc=False, rename="camel"):
    addresses: tuple[str, ...] | None = None
    conditions: Conditions | None = None
    hostname: str | None = None
    target_ref: TargetRef | None = None
    node_name: str | None = None
    zone: str | None = None


class SliceObject(msgspec.Struct, gc=False, rename="camel"):
    """discovery.k8s.io/v1 EndpointSlice."""

    metadata: SliceMetadata
    address_type: str | None = None
    ports: tuple[PortEntry, ...] | None = None
    endpoints: tuple[EndpointEntry, ...] | None = None


class PodStatus(msgspec.Struct, gc=False):
    phase: str | None = None
    pod_ip: str | None = field(default=None, name="podIP")


class PodObject(msgspec.Struct, gc=False):
    """v1 Pod."""

    metadata: Metadata
    status: PodStatus | None = None


class NamespaceObject(msgspec.Struct, gc=False):
    """v1 Namespace."""

    metadata: Metadata


def service_of(thing: ServiceObject) -> Service:
    """Return the Service as DNS sees it."""
    spec = thing.spec or ServiceSpec()
    cluster_ips = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    return Service(
        namespace=_shared(thing.metadata.namespace),
        name=sys.intern(thing.metadata.name),
        resource_version=thing.metadata.resource_version or "",
        type=_shared(spec.type) or "ClusterIP",
        cluster_ips=cluster_ips,
        external_name=spec.external_name or "",
        ports=ports_of(spec.ports),
        external_ips=(spec.external_ips or ()) + _ingress(thing.status),
        has_selector=bool(spec.selector),
    )


def slice_of(thing: SliceObject) -> EndpointSlice:
    """Return the slice as DNS sees it: its ready endpoints.

    Only conditions.ready counts, and null means ready; serving and terminating are never read
    (CoreDNS). Endpoints that are host names (addressType FQDN) have no records.
    """
    meta = thing.metadata
    entries = () if thing.address_type == "FQDN" else thing.endpoints or ()
    return EndpointSlice(
        namespace=_shared(meta.namespace),
        name=meta.name,
        service=_shared(meta.labels.service if meta.labels else None),
        resource_version=meta.resource_version or "",
        ports=ports_of(thing.ports),
        endpoints=tuple(
            _endpoint(address, entry)
            for entry in entries
            if is_ready(entry)
            for address in entry.addresses or ()
        ),
        triggered_at=_unix_seconds(meta.annotations.triggered if meta.annotations else None),
    )


def pod_of(thing: PodObject) -> Pod | None:
    """Return the Pod, or None for one that is on its way out or has finished.

    A watch leaves what it knows alone when this is None: a known Pod is served until it is deleted
    (CoreDNS). Only status.podIP counts, not the addresses of other families.
    """
    status = thing.status or PodStatus()
    if thing.metadata.deletion_timestamp or status.phase in _FINISHED:
        return None
    return Pod(
        namespace=_shared(thing.metadata.namespace),
        name=thing.metadata.name,
        resource_version=thing.metadata.resource_version or "",
        ip=status.pod_ip or "",
    )


def namespace_of(thing: NamespaceObject) -> Namespace:
    """Return the namespace."""
    return Namespace(sys.intern(thing.metadata.name), thing.metadata.resource_version or "")


OBJECT_TYPES: dict[Kind, type] = {
    "services": ServiceObject,
    "endpointslices": SliceObject,
    "pods": PodObject,
    "namespaces": NamespaceObject,
}
"""The type to decode the objects of a kind with."""

VIEWS: dict[Kind, Callable[[Any], Thing | None]] = {
    "services": service_of,
    "endpointslices": slice_of,
    "pods": pod_of,
    "namespaces": namespace_of,
}
"""What makes the DNS view of a decoded object; None means: take no notice of it."""


def ports_of(entries: tuple[PortEntry, ...] | None) -> tuple[Port, ...]:
    """Return ports, one tuple for all objects with equal ports; no ports are one port -1."""
    if not entries:
        return _NO_PORTS
    ports = tuple(
        Port(
            _shared(entry.name),
            -1 if entry.port is None else entry.port,
            _shared(entry.protocol),
        )
        for entry in entries
    )
    if len(_shared_ports) > _MAX_SHARED_PORTS:
        _shared_ports.clear()
    return _shared_ports.setdefault(ports, ports)


def is_ready(entry: EndpointEntry) -> bool:
    """Tell whether an endpoint is to be served: conditions.ready is true, or not said."""
    return entry.conditions is None or entry.conditions.ready is not False


def _endpoint(address: str, entry: EndpointEntry) -> Endpoint:
    target = (entry.target_ref.name if entry.target_ref else None) or ""
    return Endpoint(
        address=address,
        hostname=entry.hostname or "",
        # A longer name fits no label, so no record can ever be called by it (CoreDNS).
        target=target if len(target) <= _MAX_TARGET_LENGTH else "",
        node=_shared(entry.node_name),
        zone=_shared(entry.zone.lower() if entry.zone else None),
    )


def _ingress(status: ServiceStatus | None) -> tuple[str, ...]:
    if status is None or status.load_balancer is None:
        return ()
    entries = status.load_balancer.ingress or ()
    return tuple(where for entry in entries if (where := entry.ip or entry.hostname))


def _shared(text: str | None) -> str:
    return sys.intern(text) if text else ""


def _unix_seconds(timestamp: str | None) -> float | None:
    if not timestamp:
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None
