"""Go's structs of Service and EndpointSlice: what JSON they take, and how they write it.

Owns: types of fields, unknown fields, which empty values are left out and which are null.
Refuses to know: which values are valid. Source: `k8s.io/api` core/v1 and discovery/v1 (the json
tags), encoding/json.

A shape is the text of a Go type: "string", "int32", "bool", "IntOrString", "any"; a "*" before it
for a pointer, whose zero value is written; a list is a tuple of one shape, a map of strings "map",
a struct a `Struct`. A struct field with "!" at the end of its name has no omitempty.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import bad_request

Shape: TypeAlias = "str | tuple[Shape] | Struct"


class Struct:
    """A struct: the shape of each field, and which fields are written although they are empty."""

    def __init__(self, fields: dict[str, Shape]) -> None:
        self.fields = {name.rstrip("!"): shape for name, shape in fields.items()}
        self.written = tuple(name.rstrip("!") for name in fields if name.endswith("!"))


_META_FIELDS = (
    "name generateName namespace uid resourceVersion generation creationTimestamp selfLink "
    "deletionTimestamp deletionGracePeriodSeconds ownerReferences finalizers managedFields"
)
_META = Struct(
    {**dict.fromkeys(_META_FIELDS.split(), "any"), "labels": "map", "annotations": "map"}
)
_HEAD: dict[str, Shape] = {"kind": "string", "apiVersion": "string", "metadata!": _META}

_PORT = Struct(
    {
        "name": "string",
        "protocol": "string",
        "appProtocol": "*string",
        "port!": "int32",
        "targetPort": "IntOrString",
        "nodePort": "int32",
    }
)
_SPEC = Struct(
    {
        "ports": (_PORT,),
        "selector": "map",
        "clusterIP": "string",
        "clusterIPs": ("string",),
        "type": "string",
        "externalIPs": ("string",),
        "sessionAffinity": "string",
        "loadBalancerIP": "string",
        "loadBalancerSourceRanges": ("string",),
        "externalName": "string",
        "externalTrafficPolicy": "string",
        "healthCheckNodePort": "int32",
        "publishNotReadyAddresses": "bool",
        "sessionAffinityConfig": "any",
        "ipFamilies": ("string",),
        "ipFamilyPolicy": "*string",
        "allocateLoadBalancerNodePorts": "*bool",
        "loadBalancerClass": "*string",
        "internalTrafficPolicy": "*string",
        "trafficDistribution": "*string",
    }
)
_INGRESS = Struct(
    {
        "ip": "string",
        "hostname": "string",
        "ipMode": "*string",
        "ports": "any",
    }
)
_STATUS = Struct({"loadBalancer!": Struct({"ingress": (_INGRESS,)}), "conditions": "any"})

_CONDITIONS = Struct({"ready": "*bool", "serving": "*bool", "terminating": "*bool"})
_ENDPOINT = Struct(
    {
        "addresses!": ("string",),
        "conditions!": _CONDITIONS,
        "hostname": "*string",
        "targetRef": "any",
        "deprecatedTopology": "map",
        "nodeName": "*string",
        "zone": "*string",
        "hints": "any",
    }
)
_SLICE_PORT = Struct(
    {
        "name": "*string",
        "protocol": "*string",
        "port": "*int32",
        "appProtocol": "*string",
    }
)

SHAPES: dict[tuple[str, str], Struct] = {
    ("", "Service"): Struct({**_HEAD, "spec!": _SPEC, "status!": _STATUS}),
    ("discovery.k8s.io", "EndpointSlice"): Struct(
        {
            **_HEAD,
            "addressType!": "string",
            "endpoints!": (_ENDPOINT,),
            "ports!": (_SLICE_PORT,),
        }
    ),
}
"""The structs, by group and kind."""

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int32": (int,),
    "bool": (bool,),
    "IntOrString": (int, str),
    "map": (dict,),
}
_ZEROS: dict[str, Any] = {"string": "", "int32": 0, "bool": False, "IntOrString": 0}


class _Mismatch(Exception):
    """A value of another type than its field; the text names both."""


def shaped(thing: Object, resource: ResourceType, *, strict: bool = False) -> Object:
    """Return `thing` as Go writes what it read; of kinds that are not in `SHAPES` the metadata.

    400 for a value of the wrong type, and if `strict` (fieldValidation=Strict) for a field that
    does not exist; otherwise such a field is dropped.
    """
    shape = SHAPES.get((resource.group, resource.kind))
    unknown: list[str] = []
    try:
        if shape is None:
            metadata = _struct(thing.get("metadata", {}), _META, ".metadata", unknown)
            made = thing | {"metadata": metadata}
        else:
            made = _struct(thing, shape, "", unknown)
    except _Mismatch as error:
        raise _unfit(resource, f"json: cannot unmarshal {error}") from None
    if strict and unknown:
        names = ", ".join(f'unknown field "{name}"' for name in unknown)
        raise _unfit(resource, f"strict decoding error: {names}")
    return made


def _unfit(resource: ResourceType, why: str) -> Exception:
    kind = resource.kind
    text = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: {why}'
    return bad_request(text)


def _struct(value: Any, shape: Struct, path: str, unknown: list[str]) -> Object:
    if not isinstance(value, dict):
        raise _Mismatch(f"{_json_type(value)} into Go struct field {path[1:]}")
    made: Object = {}
    for name, given in value.items():
        inner = shape.fields.get(name)
        if inner is None:
            unknown.append(f"{path}.{name}"[1:])
            continue
        read = _field(given, inner, f"{path}.{name}", unknown)
        if name in shape.written or not _is_left_out(read, inner):
            made[name] = read
    for name in shape.written:
        if made.get(name) in (None, []):
            made[name] = _empty(shape.fields[name])
    return made


def _empty(shape: Shape) -> Any:
    if isinstance(shape, Struct):
        return _struct({}, shape, "", [])
    return _ZEROS[shape] if isinstance(shape, str) else None


def _is_left_out(value: Any, shape: Shape) -> bool:
    """Tell whether omitempty leaves a value out: a nil pointer, and what is zero or empty."""
    if isinstance(shape, str) and shape.startswith("*"):
        return value is None
    return not value


def _field(value: Any, shape: Shape, path: str, unknown: list[str]) -> Any:
    if value is None or shape == "any":
        return value
    if isinstance(shape, Struct):
        return _struct(value, shape, path, unknown)
    if isinstance(shape, tuple):
        if not isinstance(value, list):
            raise _Mismatch(f"{_json_type(value)} into Go struct field {path[1:]} of type list")
        return [_field(item, shape[0], path, unknown) for item in value]
    wanted = shape.removeprefix("*")
    fits = isinstance(value, _TYPES[wanted]) and (wanted == "bool") == isinstance(value, bool)
    if not fits or (wanted == "map" and not _is_string_map(value)):
        raise _Mismatch(f"{_json_type(value)} into Go struct field {path[1:]} of type {wanted}")
    return value


def _is_string_map(value: Object) -> bool:
    return all(isinstance(text, str) or text is None for text in value.values())


def _json_type(value: Any) -> str:
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")
