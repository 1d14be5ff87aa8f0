"""What the API server itself adds to an object on its way in: identity, defaults, cluster IPs.

Owns: metadata that servers set; defaults of Services, slices, Endpoints and namespaces. Refuses to
know: HTTP, watches, controllers (no pods, no EndpointSlices are made here).
Source: Kubernetes `pkg/apis/core/v1/defaults.go`, `pkg/apis/discovery/v1/defaults.go`, the effects
of the allocators of Service addresses and node ports.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container
from copy import deepcopy
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import invalid

SERVICE_RANGES: dict[str, IPv4Network | IPv6Network] = {
    "IPv4": IPv4Network("10.96.0.0/16"),
    "IPv6": IPv6Network("fd00:10:96::/112"),
}
NODE_PORTS = range(30000, 32768)
_OF_ADDRESSES = [
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
    "externalTrafficPolicy",
    "allocateLoadBalancerNodePorts",
]
_RESERVED = 10
"""Addresses at the start of a range that are not given out by themselves (10.96.0.1, .10)."""


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as the API writes times: RFC 3339, whole seconds, Z."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def admit(
    thing: Object,
    resource: ResourceType,
    before: Object | None,
    now: float,
    taken: Callable[[], Container[str]],
    node_ports: Callable[[], Container[int]] = frozenset,
) -> Object:
    """A complete copy of `thing`, ready to be stored over `before`. `now`: seconds since the epoch.

    `taken()` gives the cluster IPs in use, `node_ports()` the node ports. Raises `ApiError` 422 for
    an object without a name.
    """
    head: Object = {"kind": resource.kind, "apiVersion": resource.api_version}
    thing = head | deepcopy(thing)
    metadata = thing.setdefault("metadata", {})
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise invalid(resource.kind, "metadata.name", "Required value: name or generateName")
    if resource.namespaced:
        metadata.setdefault("namespace", "default")
    else:
        metadata.pop("namespace", None)
    _identify(metadata, resource, before, now)
    if resource.kind == "Service" and not resource.group:
        _default_service(thing, before, taken)
        _default_node_ports(thing["spec"], (before or {}).get("spec") or {}, node_ports)
    elif resource.kind == "EndpointSlice":
        _default_slice(thing)
    elif resource.kind == "Endpoints" and not resource.group:
        for subset in _dicts(thing.get("subsets")):
            for port in _dicts(subset.get("ports")):
                port.setdefault("protocol", "TCP")
    elif resource.kind == "Namespace" and not resource.group:
        metadata.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)
        thing.setdefault("spec", {"finalizers": ["kubernetes"]})
        thing.setdefault("status", {"phase": "Active"})
    _count_generation(thing, before)
    return thing


def _identify(
    metadata: dict[str, Any], resource: ResourceType, before: Object | None, now: float
) -> None:
    old = before["metadata"] if before else {}
    path = f"{resource.qualified}/{metadata.get('namespace', '')}/{metadata['name']}/{now}"
    for name, fresh in (
        ("uid", str(uuid.uuid5(uuid.NAMESPACE_URL, path))),
        ("creationTimestamp", timestamp(now)),
    ):
        metadata[name] = old.get(name) or metadata.get(name) or fresh
    metadata.setdefault("managedFields", old.get("managedFields") or _managed(resource, now))
    metadata.pop("selfLink", None)


def _managed(resource: ResourceType, now: float) -> list[Object]:
    return [
        {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": resource.api_version,
            "time": timestamp(now),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {}},
        }
    ]


def _count_generation(thing: Object, before: Object | None) -> None:
    kind = thing["kind"]
    is_slice = kind == "EndpointSlice"
    if kind in ("Service", "Namespace", "Endpoints") or ("spec" not in thing and not is_slice):
        return
    old = before["metadata"].get("generation", 1) if before else 0
    counted = _slice_content if is_slice else _spec
    changed = before is None or counted(before) != counted(thing)
    thing["metadata"]["generation"] = old + 1 if changed else old


def _spec(thing: Object) -> Any:
    return thing.get("spec")


def _slice_content(thing: Object) -> Object:
    return thing | {"metadata": thing["metadata"].get("labels")}


def _default_service(
    thing: Object, before: Object | None, taken: Callable[[], Container[str]]
) -> None:
    spec = thing.setdefault("spec", {})
    old = (before or {}).get("spec") or {}
    kind = spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in _dicts(spec.get("ports")):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    thing.setdefault("status", {"loadBalancer": {}})
    if kind == "ExternalName":
        for name in _OF_ADDRESSES:
            spec.pop(name, None)
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if old.get("clusterIP") != spec.get("clusterIP") and old.get("clusterIPs") == spec.get(
        "clusterIPs"
    ):
        spec.pop("clusterIPs", None)
    known = spec.get("clusterIP")
    if known == "None" and old.get("clusterIP") == "None":
        for name in ("ipFamilies", "ipFamilyPolicy"):
            spec.setdefault(name, old.get(name))
    if known == "None" and not spec.get("selector") and "ipFamilies" not in spec:
        spec["ipFamilies"] = list(SERVICE_RANGES)
        spec.setdefault("ipFamilyPolicy", "RequireDualStack")
    if not spec.get("clusterIPs"):
        spec["clusterIPs"] = [known] if known else _addresses(spec, before, taken)
    spec["clusterIP"] = spec["clusterIPs"][0]
    spec.setdefault("ipFamilies", [_family(ip) for ip in spec["clusterIPs"]])
    policy = "SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack"
    spec.setdefault("ipFamilyPolicy", policy)
    if kind == "LoadBalancer":
        _default_ingress(thing["status"])


def _default_ingress(status: Object) -> None:
    for ingress in _dicts((status.get("loadBalancer") or {}).get("ingress")):
        if ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def _default_node_ports(
    spec: Object, old: Object, node_ports: Callable[[], Container[int]]
) -> None:
    kinds = ("NodePort", "LoadBalancer")
    if spec["type"] not in kinds:
        for port in _dicts(spec.get("ports")) if old.get("type") in kinds else ():
            port.pop("nodePort", None)
        return
    spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    had = {
        (port.get("port"), port.get("protocol")): port["nodePort"]
        for port in _dicts(old.get("ports"))
        if port.get("nodePort")
    }
    given: set[int] = set()
    for port in _dicts(spec.get("ports")):
        if not port.get("nodePort"):
            taken = node_ports()
            free = (n for n in NODE_PORTS if n not in taken and n not in given)
            port["nodePort"] = had.get((port.get("port"), port["protocol"])) or next(free, 0)
        given.add(port["nodePort"])


def _default_slice(thing: Object) -> None:
    for port in _dicts(thing.get("ports")):
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _dicts(value: Any) -> list[Object]:
    """The structs of a list; none of what is no list, which only `apply` lets in."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _addresses(
    spec: Object, before: Object | None, taken: Callable[[], Container[str]]
) -> list[str]:
    """One address for each family wanted: the one that the Service had, else the lowest free."""
    families = list(spec.get("ipFamilies") or ["IPv4"])
    if spec.get("ipFamilyPolicy") in ("PreferDualStack", "RequireDualStack"):
        families += [family for family in SERVICE_RANGES if family not in families]
        spec["ipFamilies"] = families
    old = ((before or {}).get("spec") or {}).get("clusterIPs") or []
    had = {_family(ip): ip for ip in old if ip != "None"}
    return [had.get(family) or _lowest_free(family, taken()) for family in families]


def _lowest_free(family: str, used: Container[str]) -> str:
    network = SERVICE_RANGES[family]
    numbers = range(_RESERVED + 1, network.num_addresses - 1)
    address = next((str(network[n]) for n in numbers if str(network[n]) not in used), None)
    if address is None:
        raise invalid("Service", "spec.clusterIPs", "range is full")
    return address
