"""What the API server itself adds to an object on its way in: identity, defaults, cluster IPs.

Owns: metadata that servers set, Service and Namespace defaults. Refuses to know: HTTP, watches,
controllers (no pods, no EndpointSlices are made here).
Source: Kubernetes `pkg/apis/core/v1/defaults.go`, the Service IP allocator's effects.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Container
from copy import deepcopy
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import invalid

SERVICE_RANGE = IPv4Network("10.96.0.0/16")
_RESERVED = 10
"""Addresses at the start of the range that are not given out by themselves (10.96.0.1, .10)."""


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as the API writes times: RFC 3339, whole seconds, Z."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def admit(
    thing: Object,
    resource: ResourceType,
    before: Object | None,
    now: float,
    taken: Callable[[], Container[str]],
) -> Object:
    """A complete copy of `thing`, ready to be stored over `before`. `now`: seconds since the epoch.

    `taken()` gives the cluster IPs in use. Raises `ApiError` 422 for an object without a name.
    """
    thing = deepcopy(thing)
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
    elif resource.kind == "Namespace" and not resource.group:
        metadata.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)
        thing.setdefault("spec", {"finalizers": ["kubernetes"]})
        thing.setdefault("status", {"phase": "Active"})
    _count_generation(thing, before)
    return {"kind": resource.kind, "apiVersion": resource.api_version} | thing


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
    if thing["kind"] in ("Service", "Pod", "Namespace", "Endpoints") or "spec" not in thing:
        return
    old = before["metadata"].get("generation", 1) if before else 0
    changed = before is None or before.get("spec") != thing["spec"]
    thing["metadata"]["generation"] = old + 1 if changed else old


def _default_service(
    thing: Object, before: Object | None, taken: Callable[[], Container[str]]
) -> None:
    spec = thing.setdefault("spec", {})
    kind = spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        if kind != "ExternalName" and spec.get("clusterIP") != "None":
            port.setdefault("targetPort", port.get("port"))
    thing.setdefault("status", {"loadBalancer": {}})
    if kind == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    if not spec.get("clusterIP"):
        spec["clusterIP"] = (spec.get("clusterIPs") or [""])[0] or _address(before, taken)
    if not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    families = ["IPv6" if ":" in ip else "IPv4" for ip in spec["clusterIPs"]]
    spec.setdefault("ipFamilies", families)
    policy = "SingleStack" if len(spec["ipFamilies"]) == 1 else "RequireDualStack"
    spec.setdefault("ipFamilyPolicy", policy)


def _address(before: Object | None, taken: Callable[[], Container[str]]) -> str:
    """The cluster IP that the Service had, else the lowest free one."""
    old: str = ((before or {}).get("spec") or {}).get("clusterIP", "")
    if old and old != "None":
        return old
    used = taken()
    hosts = (str(SERVICE_RANGE[n]) for n in range(_RESERVED + 1, SERVICE_RANGE.num_addresses - 1))
    address = next((ip for ip in hosts if ip not in used), None)
    if address is None:
        raise invalid("Service", "spec.clusterIPs", "range is full")
    return address
