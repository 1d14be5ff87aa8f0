"""Tables: what `kubectl get` prints, made here as every API server makes them.

Owns: columns and cells of the kinds that DNS is about. Refuses to know: HTTP, lists, watches.
Source: Kubernetes API concepts ("Receiving resources as Tables").
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from k8sdns.testing.apiserver.resources import Object

Cell = Callable[[Object], str]


def is_asked(accept: str) -> bool:
    """True when the first JSON kind that an Accept header names is a Table."""
    first = next((part for part in accept.split(",") if part.startswith("application/json")), "")
    return "as=Table" in first and "v=v1;" in first.replace(" ", "") + ";"


def table(kind: str, things: list[Object], metadata: Object, now: float) -> Object:
    """The Table of these objects, all of `kind`; `now` in seconds since the epoch, for ages."""
    columns = {"Name": _name} | _COLUMNS.get(kind, {})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_definition(name) for name in [*columns, "Age"]],
        "rows": [_row(thing, list(columns.values()), now) for thing in things],
    }


def _definition(name: str) -> Object:
    kind = "name" if name == "Name" else ""
    return {"name": name, "type": "string", "format": kind, "description": name, "priority": 0}


def _row(thing: Object, columns: list[Cell], now: float) -> Object:
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    cells = [column(thing) for column in columns]
    cells.append(_age(thing["metadata"].get("creationTimestamp", ""), now))
    return {"cells": cells, "object": partial | {"metadata": thing["metadata"]}}


def _age(created: str, now: float) -> str:
    try:
        began = datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return "<unknown>"
    seconds = max(0, int(now - began))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _name(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def _text(path: str, none: str = "<none>") -> Cell:
    def cell(thing: Object) -> str:
        value: Any = thing
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return none if value in (None, "", []) else str(value)

    return cell


def _joined(found: list[str]) -> str:
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown or "<none>"


def _external(thing: Object) -> str:
    spec = thing.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    status = (thing.get("status") or {}).get("loadBalancer") or {}
    given = [one.get("ip") or one.get("hostname") or "" for one in status.get("ingress") or []]
    return _joined([*given, *(spec.get("externalIPs") or [])])


def _service_ports(thing: Object) -> str:
    ports = (thing.get("spec") or {}).get("ports") or []
    return _joined([f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports])


def _slice_ports(thing: Object) -> str:
    return _joined([str(port.get("port", "*")) for port in thing.get("ports") or []])


def _addresses(thing: Object) -> str:
    entries = thing.get("endpoints") or []
    return _joined([address for entry in entries for address in entry.get("addresses") or []])


_COLUMNS: dict[str, dict[str, Cell]] = {
    "Service": {
        "Type": _text("spec.type"),
        "Cluster-IP": _text("spec.clusterIP"),
        "External-IP": _external,
        "Port(s)": _service_ports,
    },
    "EndpointSlice": {
        "AddressType": _text("addressType"),
        "Ports": _slice_ports,
        "Endpoints": _addresses,
    },
    "Pod": {"Status": _text("status.phase"), "IP": _text("status.podIP")},
    "Namespace": {"Status": _text("status.phase")},
}
