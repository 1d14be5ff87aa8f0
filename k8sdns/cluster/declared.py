"""Manifests, typed: what a cluster's objects declare that DNS, or the play of controllers, needs.

Owns: the fields, and the defaults that an API server writes into what it is given.
Refuses to know files, addresses, and what controllers make of it.

The DNS fields are those of `k8sdns.cluster.objects`; these types add selectors and templates.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from k8sdns.cluster.documents import ManifestError
from k8sdns.cluster.model import Key
from k8sdns.cluster.objects import (
    Metadata,
    NamespaceObject,
    PodObject,
    PodStatus,
    PortEntry,
    ServiceObject,
    ServiceSpec,
    SliceObject,
)

LabelMap = dict[str, str | None]

WORKLOADS = frozenset(
    {"Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"}
)
_CLUSTER_SCOPED = frozenset({"Namespace", "Node"})


class NodeAddress(msgspec.Struct, gc=False):
    type: str = ""
    address: str = ""


class NodeStatus(msgspec.Struct, gc=False):
    addresses: tuple[NodeAddress, ...] | None = None


class NodeObject(msgspec.Struct, gc=False):
    metadata: Metadata
    status: NodeStatus | None = None


class ServicePort(PortEntry, gc=False, rename="camel"):
    target_port: int | str | None = None


class FullServiceSpec(ServiceSpec, gc=False, rename="camel"):
    ports: tuple[ServicePort, ...] | None = None
    selector: LabelMap | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    publish_not_ready_addresses: bool | None = None


class FullService(ServiceObject, gc=False):
    spec: FullServiceSpec | None = None


class Target(msgspec.Struct, gc=False):
    name: str | None = None


class EndpointAddress(msgspec.Struct, gc=False, rename="camel"):
    ip: str = ""
    hostname: str | None = None
    node_name: str | None = None
    target_ref: Target | None = None


class Subset(msgspec.Struct, gc=False):
    addresses: tuple[EndpointAddress, ...] | None = None
    ports: tuple[PortEntry, ...] | None = None


class EndpointsObject(msgspec.Struct, gc=False):
    """v1 Endpoints, which older clusters and hands write in place of slices."""

    metadata: Metadata
    subsets: tuple[Subset, ...] | None = None


class ContainerPort(msgspec.Struct, gc=False, rename="camel"):
    container_port: int = 0
    name: str | None = None
    protocol: str | None = None


class Container(msgspec.Struct, gc=False):
    ports: tuple[ContainerPort, ...] | None = None


class PodSpec(msgspec.Struct, gc=False, rename="camel"):
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    hostname: str | None = None
    subdomain: str | None = None
    node_name: str | None = None
    node_selector: LabelMap | None = None
    host_network: bool | None = None


class PodIP(msgspec.Struct, gc=False):
    ip: str | None = None


class Condition(msgspec.Struct, gc=False):
    type: str = ""
    status: str = ""


class FullPodStatus(PodStatus, gc=False):
    pod_ips: tuple[PodIP, ...] | None = field(default=None, name="podIPs")
    conditions: tuple[Condition, ...] | None = None


class FullPod(PodObject, gc=False):
    spec: PodSpec | None = None
    status: FullPodStatus | None = None


class Owner(msgspec.Struct, gc=False):
    kind: str = ""
    name: str = ""


class OwnedMetadata(Metadata, gc=False, rename="camel"):
    owner_references: tuple[Owner, ...] | None = None


class TemplateMetadata(msgspec.Struct, gc=False):
    labels: LabelMap | None = None


class PodTemplate(msgspec.Struct, gc=False):
    metadata: TemplateMetadata | None = None
    spec: PodSpec | None = None


class Ordinals(msgspec.Struct, gc=False):
    start: int = 0


class WorkloadSpec(msgspec.Struct, gc=False, rename="camel"):
    """The parts of every workload's spec; `parallelism` and what follows are a Job's."""

    replicas: int | None = None
    template: PodTemplate | None = None
    service_name: str | None = None
    ordinals: Ordinals | None = None
    parallelism: int | None = None
    completions: int | None = None
    completion_mode: str | None = None
    suspend: bool | None = None


class WorkloadStatus(msgspec.Struct, gc=False):
    conditions: tuple[Condition, ...] | None = None


class Workload(msgspec.Struct, gc=False):
    """A Deployment, ReplicaSet, ReplicationController, StatefulSet, DaemonSet or Job."""

    metadata: OwnedMetadata
    spec: WorkloadSpec | None = None
    status: WorkloadStatus | None = None


_TYPES: dict[str, Any] = {
    "Namespace": NamespaceObject,
    "Node": NodeObject,
    "Service": FullService,
    "EndpointSlice": SliceObject,
    "Endpoints": EndpointsObject,
    "Pod": FullPod,
    **dict.fromkeys(WORKLOADS, Workload),
}


class Declared(msgspec.Struct, frozen=True):
    """One object of a manifest; of a kind that matters not, only its place is kept (`thing` None).

    `namespace` is "" for a namespace or a node.
    """

    kind: str
    namespace: str
    name: str
    labels: dict[str, str]
    thing: Any = None

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return (self.namespace, self.name)


def declare(raw: dict[str, Any], file: str, line: int) -> Declared:
    """Return what the parsed object `raw` declares; `raw` is changed: defaults are filled in.

    Raises `ManifestError` for an object that an API server would refuse for its shape.
    """
    kind = str(raw["kind"])
    meta = raw.get("metadata")
    if not kind or not isinstance(meta, dict):
        raise ManifestError("an object needs kind and metadata", file, line)
    wanted = _TYPES.get(kind)
    if wanted is None:
        return Declared(kind, _text(meta.get("namespace")), _text(meta.get("name")), {})
    if not meta.get("name"):
        raise ManifestError(f"this {kind} has no metadata.name", file, line)
    meta["namespace"] = "" if kind in _CLUSTER_SCOPED else meta.get("namespace") or "default"
    _fill_protocols(kind, raw)
    try:
        labels = msgspec.convert(meta.get("labels") or {}, LabelMap)
        thing = msgspec.convert(raw, wanted)
    except msgspec.ValidationError as error:
        raise ManifestError(f"{kind} {meta['name']}: {error}", file, line) from None
    return Declared(kind, meta["namespace"], meta["name"], text_labels(labels), thing)


def text_labels(labels: LabelMap | None) -> dict[str, str]:
    """Return labels with "" for null, as the API server keeps them."""
    return {name: value or "" for name, value in (labels or {}).items()}


def _fill_protocols(kind: str, raw: dict[str, Any]) -> None:
    """Write TCP where a port names no protocol, as the API server does."""
    spec = raw.get("spec") if kind == "Service" else raw
    ports = spec.get("ports") if isinstance(spec, dict) else None
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict) and not port.get("protocol"):
            port["protocol"] = "TCP"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
