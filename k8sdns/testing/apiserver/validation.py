"""Which Services and EndpointSlices an API server takes: 422 for the others.

Owns: the rules that DNS rests on (names, ports, addresses, what may not change) and their texts.
Refuses to know: types of fields (`shapes`), defaults (`admission`), HTTP.
Source: Kubernetes `pkg/apis/core/validation`, `pkg/apis/discovery/validation`, and answers of a
kube-apiserver 1.36.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import ApiError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_IP_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_PORT_TEXT = "must be between 1 and 65535, inclusive"
ADDRESS_TYPES = ("IPv4", "IPv6", "FQDN")


class Cause(NamedTuple):
    """One field that is wrong: `reason` is Required, Invalid, Duplicate or NotSupported."""

    field: str
    reason: str
    message: str


def check(thing: Object, resource: ResourceType, before: Object | None) -> None:
    """Raise 422 with every cause if a server would not take `thing`, which has its defaults."""
    rules = {("", "Service"): _service, ("discovery.k8s.io", "EndpointSlice"): _slice}
    rule = rules.get((resource.group, resource.kind))
    causes = list(rule(thing, before)) if rule else []
    if causes:
        raise invalid_object(resource, thing["metadata"].get("name", ""), causes)


def invalid_object(resource: ResourceType, name: str, causes: list[Cause]) -> ApiError:
    """422: an object, or a change of one, that breaks rules."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details: Object = {"name": name} | ({"group": resource.group} if resource.group else {})
    details |= {
        "kind": resource.kind,
        "causes": [
            {"reason": f"FieldValue{cause.reason}", "message": cause.message, "field": cause.field}
            for cause in causes
        ],
    }
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def _required(field: str, more: str = "") -> Cause:
    return Cause(field, "Required", "Required value" + more)


def _invalid(field: str, value: Any, why: str) -> Cause:
    return Cause(field, "Invalid", f"Invalid value: {_go(value)}: {why}")


def _duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "Duplicate", f"Duplicate value: {_go(value)}")


def _unsupported(field: str, value: Any, known: tuple[str, ...]) -> Cause:
    names = ", ".join(f'"{name}"' for name in known)
    text = f"Unsupported value: {_go(value)}: supported values: {names}"
    return Cause(field, "NotSupported", text)


def _go(value: Any) -> str:
    """A value as Go's encoding/json writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _is_label(text: str) -> bool:
    return len(text) <= _MAX_LABEL and _LABEL.fullmatch(text) is not None


def _is_port(number: int) -> bool:
    return 1 <= number <= 65535


# -- Service -----------------------------------------------------------------------------------


def _service(thing: Object, before: Object | None) -> Iterator[Cause]:
    name, spec = thing["metadata"]["name"], thing["spec"]
    if not _is_label(name):
        yield _invalid("metadata.name", name, _LABEL_TEXT)
    ports = spec.get("ports") or []
    is_external = spec["type"] == "ExternalName"
    if is_external and not spec.get("externalName"):
        yield _required("spec.externalName")
    if not ports and not is_external and spec.get("clusterIP") != "None":
        yield _required("spec.ports")
    yield from _service_ports(ports)
    for at, address in enumerate(spec.get("clusterIPs") or []):
        if address != "None" and not _is_ip(address):
            yield _invalid(f"spec.clusterIPs[{at}]", address, _IP_TEXT)
    if before is not None and not is_external:
        yield from _fixed_address(spec, before.get("spec") or {})


def _service_ports(ports: list[Object]) -> Iterator[Cause]:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for at, port in enumerate(ports):
        field, name = f"spec.ports[{at}]", port.get("name", "")
        if not name and len(ports) > 1:
            yield _required(f"{field}.name")
        elif name and not _is_label(name):
            yield _invalid(f"{field}.name", name, _LABEL_TEXT)
        elif name and name in names:
            yield _duplicate(f"{field}.name", name)
        names.add(name)
        target = port.get("targetPort")
        for part, number in (("port", port["port"]), ("targetPort", target)):
            if isinstance(number, int) and not _is_port(number):
                yield _invalid(f"{field}.{part}", number, _PORT_TEXT)
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            yield _unsupported(f"{field}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
    for at, port in enumerate(ports):
        number = (port["port"], port["protocol"])
        if number in numbers:
            yield _duplicate(f"spec.ports[{at}]", _go_port(port))
        numbers.add(number)


def _go_port(port: Object) -> Object:
    """A port as Go prints the key of a duplicate."""
    empty = {"Name": "", "Protocol": port["protocol"], "AppProtocol": None}
    return empty | {"Port": port["port"], "TargetPort": 0, "NodePort": 0}


def _fixed_address(spec: Object, old: Object) -> Iterator[Cause]:
    had, has = old.get("clusterIPs") or [], spec.get("clusterIPs") or []
    if old.get("type") != "ExternalName" and had and has[:1] != had[:1]:
        yield _invalid("spec.clusterIPs[0]", has, "may not change once set")


# -- EndpointSlice -----------------------------------------------------------------------------


def _slice(thing: Object, before: Object | None) -> Iterator[Cause]:
    family = thing["addressType"]
    if not family:
        yield _required("addressType")
    elif family not in ADDRESS_TYPES:
        yield _unsupported("addressType", family, ("FQDN", "IPv4", "IPv6"))
    if before is not None and before.get("addressType") != family:
        yield _invalid("addressType", family, "field is immutable")
        return
    for at, endpoint in enumerate(thing["endpoints"] or []):
        field = f"endpoints[{at}].addresses"
        if not endpoint["addresses"]:
            yield _required(field, ": must contain at least 1 address")
        for number, address in enumerate(endpoint["addresses"] or []):
            if family in ("IPv4", "IPv6"):
                yield from _slice_address(field, number, address, int(family[-1]))
        hostname = endpoint.get("hostname")
        if hostname and not _is_label(hostname):
            yield _invalid(f"endpoints[{at}].hostname", hostname, _LABEL_TEXT)
    yield from _slice_ports(thing["ports"] or [])


def _slice_address(field: str, number: int, address: str, version: int) -> Iterator[Cause]:
    place = f"{field}[{number}]"
    if not _is_ip(address):
        yield _invalid(place, address, _IP_TEXT)
        return
    parsed = ipaddress.ip_address(address)
    if str(parsed) != address:
        yield _invalid(place, address, f'must be in canonical form ("{parsed}")')
    if parsed.version != version:
        yield _invalid(field, address, f"must be an IPv{version} address")
    elif parsed.is_loopback:
        yield _invalid(place, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    elif parsed.is_unspecified:
        yield _invalid(place, address, f"may not be unspecified ({address})")
    elif parsed.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        yield _invalid(place, address, text)


def _slice_ports(ports: list[Object]) -> Iterator[Cause]:
    names: set[str] = set()
    for at, port in enumerate(ports):
        name = port.get("name", "")
        if name in names:
            yield _duplicate(f"ports[{at}].name", name)
        names.add(name)
        if name and not _is_label(name):
            yield _invalid(f"ports[{at}].name", name, _LABEL_TEXT)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
