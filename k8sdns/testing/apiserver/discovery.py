"""What kubectl reads before it does anything: versions, groups, resources, an OpenAPI stub.

Owns: the discovery documents. Refuses to know: objects.
The OpenAPI documents name every kind and describe none: `kubectl apply` only looks whether the
server validates fields by itself (the `fieldValidation` parameter of PATCH).
"""

from __future__ import annotations

from typing import Any

from k8sdns.testing.apiserver.resources import Catalogue, Object, ResourceType
from k8sdns.testing.apiserver.scale import is_scalable

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+k8sdns",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def document(path: str, catalogue: Catalogue) -> Object | None:
    """The discovery document at a path; None when the path is none of discovery's."""
    fixed = {"/version": VERSION, "/api": _core(), "/apis": _groups(catalogue)}
    parts = path.strip("/").split("/")
    if "/" + "/".join(parts) in fixed:
        return fixed["/" + "/".join(parts)]
    if parts[:2] == ["openapi", "v3"]:
        return _open_api(parts[2:], catalogue)
    if parts[0] == "apis" and len(parts) == 2:
        return next((one for one in _group_list(catalogue) if one["name"] == parts[1]), None)
    if (parts[0] == "api" and len(parts) == 2) or (parts[0] == "apis" and len(parts) == 3):
        return _resources("/" + "/".join(parts), catalogue)
    return None


def _core() -> Object:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def _groups(catalogue: Catalogue) -> Object:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _group_list(catalogue)}


def _group_list(catalogue: Catalogue) -> list[Object]:
    versions: dict[str, list[str]] = {}
    for resource in catalogue:
        if resource.group and resource.version not in versions.setdefault(resource.group, []):
            versions[resource.group].append(resource.version)
    return [_group(name, found) for name, found in versions.items()]


def _group(name: str, versions: list[str]) -> Object:
    entries = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": entries,
        "preferredVersion": entries[0],
    }


def _resources(path: str, catalogue: Catalogue) -> Object | None:
    found = [resource for resource in catalogue if resource.prefix == path]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [
            *(_entry(resource) for resource in found),
            *(_scale_entry(resource) for resource in found if is_scalable(resource)),
        ],
    }


def _entry(resource: ResourceType) -> Object:
    entry: Object = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": _VERBS,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.kind in ("Service", "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        entry["categories"] = ["all"]
    return entry


def _scale_entry(resource: ResourceType) -> Object:
    return {
        "name": f"{resource.plural}/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }


def _open_api(parts: list[str], catalogue: Catalogue) -> Object | None:
    if not parts:
        prefixes = {resource.prefix for resource in catalogue}
        url = {"serverRelativeURL": ""}
        return {
            "paths": {
                prefix[1:]: url | {"serverRelativeURL": f"/openapi/v3{prefix}"}
                for prefix in sorted(prefixes)
            }
        }
    prefix = "/" + "/".join(parts)
    found = [resource for resource in catalogue if resource.prefix == prefix]
    if not found:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "k8sdns test API server", "version": VERSION["gitVersion"]},
        "paths": dict(_operations(resource) for resource in found),
        "components": {"schemas": {_schema_name(one): _schema(one) for one in found}},
    }


def _kinds(resource: ResourceType) -> Object:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _operations(resource: ResourceType) -> tuple[str, Object]:
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters: list[Any] = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
    ]
    patch = {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _kinds(resource),
    }
    return f"{resource.prefix}{scope}/{resource.plural}/{{name}}", {"patch": patch}


def _schema_name(resource: ResourceType) -> str:
    return f"io.k8s.{resource.group or 'core'}.{resource.version}.{resource.kind}"


def _schema(resource: ResourceType) -> Object:
    return {
        "type": "object",
        "x-kubernetes-group-version-kind": [_kinds(resource)],
        "x-kubernetes-preserve-unknown-fields": True,
    }
