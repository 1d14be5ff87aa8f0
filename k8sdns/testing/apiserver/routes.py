"""Paths: which resource, namespace, object and subresource a URL names.

Owns: the URL grammar of the Kubernetes API. Refuses to know: methods, objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8sdns.testing.apiserver.options import is_watch
from k8sdns.testing.apiserver.resources import Catalogue, ResourceType
from k8sdns.testing.apiserver.statuses import method_not_allowed, no_such_path
from k8sdns.testing.apiserver.storage import Key

_OF_A_NAMESPACE = ("status", "finalize")


@dataclass(frozen=True)
class Target:
    """What a path below /api or /apis names; `name` "" is the collection."""

    resource: ResourceType
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """The key of the object."""
        return self.namespace, self.name

    def verb(self, method: str, query: Mapping[str, str]) -> str:
        """The RBAC verb of a request; 405 for a method that the path does not have."""
        if method in ("GET", "HEAD"):
            if self.name:
                return "get"
            return "watch" if is_watch(query) else "list"
        if method == "DELETE":
            return "delete" if self.name else "deletecollection"
        verbs = {"POST": ""} if self.name else {"POST": "create"}
        if self.name:
            verbs |= {"PUT": "update", "PATCH": "patch"}
        if not verbs.get(method):
            raise method_not_allowed()
        return verbs[method]


def is_served(path: str, catalogue: Catalogue) -> bool:
    """Tell whether anything at all is served below a path: the core API, or a known group."""
    head, _, rest = path.strip("/").partition("/")
    group = rest.partition("/")[0]
    return head == "api" or (head == "apis" and any(one.group == group for one in catalogue))


def target(path: str, catalogue: Catalogue) -> Target:
    """The target of a path; 404 when its group, version or resource is not served."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"]:
        group, version, rest = "", "".join(parts[1:2]), parts[2:]
    else:
        group, version, rest = "".join(parts[1:2]), "".join(parts[2:3]), parts[3:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in _OF_A_NAMESPACE:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        raise no_such_path()
    resource = catalogue.at_path(group, version, rest[0])
    if resource is None or (namespace and not resource.namespaced):
        raise no_such_path()
    return Target(resource, namespace, *rest[1:])
