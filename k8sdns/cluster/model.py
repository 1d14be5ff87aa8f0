"""The DNS view of a cluster: the few fields of each API object that answers are made of.

Owns: the shapes, and the one rule that belongs to a shape alone (what headless means).
Refuses to know JSON, YAML, zones, and where objects come from.

Every string is as Kubernetes spells it. All structs are frozen and outside the garbage
collector (``gc=False``): they hold strings, numbers and tuples of one another, never a cycle. On
the way between processes (`k8sdns.cluster.feed`) they are arrays that begin with their tag.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["services", "endpointslices", "pods", "namespaces"]
KINDS: tuple[Kind, ...] = ("services", "endpointslices", "pods", "namespaces")

Key: TypeAlias = tuple[str, str]
"""(namespace, name) of an object; a namespace's own key is ("", name)."""


class Port(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One port; `port` is -1 where the object names none (CoreDNS's sentinel, no SRV record)."""

    name: str
    port: int
    protocol: str


class Service(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag", tag=1):
    """A Service: virtual addresses, or ``("None",)`` when headless, or an external name.

    `external_ips` are spec.externalIPs, then the load balancer's addresses or host names.
    `has_selector` tells whether controllers choose its endpoints; no answer depends on it.
    """

    namespace: str
    name: str
    resource_version: str
    type: str
    cluster_ips: tuple[str, ...]
    external_name: str
    ports: tuple[Port, ...]
    external_ips: tuple[str, ...]
    has_selector: bool = True

    @property
    def is_headless(self) -> bool:
        """Tell whether the Service has no virtual address on purpose (clusterIP: None)."""
        return self.cluster_ips[:1] == ("None",)


class Endpoint(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One address of a *ready* endpoint; `target` is the name of the Pod behind it, or empty.

    An endpoint of the API with several addresses, which hardly any has, is several of these.
    """

    address: str
    hostname: str
    target: str
    node: str
    zone: str


class EndpointSlice(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag", tag=2):
    """A slice of the endpoints of `service` (label kubernetes.io/service-name).

    `triggered_at` is when the change behind it began, in Unix seconds, if the slice says so.
    """

    namespace: str
    name: str
    service: str
    resource_version: str
    ports: tuple[Port, ...]
    endpoints: tuple[Endpoint, ...]
    triggered_at: float | None


class Pod(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag", tag=3):
    """A Pod that has an address (status.podIP; the secondary addresses are not served)."""

    namespace: str
    name: str
    resource_version: str
    ip: str


class Namespace(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="tag", tag=4):
    """A namespace; that it exists decides NODATA against NXDOMAIN."""

    name: str
    resource_version: str


Thing: TypeAlias = Service | EndpointSlice | Pod | Namespace


def kind_of(thing: Thing) -> Kind:
    """Return the kind of `thing`, in the plural that the Kubernetes API uses."""
    return _KIND_OF[type(thing)]


def key_of(thing: Thing) -> Key:
    """Return the key of `thing`: (namespace, name)."""
    if isinstance(thing, Namespace):
        return ("", thing.name)
    return (thing.namespace, thing.name)


_KIND_OF: dict[type, Kind] = {
    Service: "services",
    EndpointSlice: "endpointslices",
    Pod: "pods",
    Namespace: "namespaces",
}
