"""Create, update, patch and delete: one object at a time, checked as the API server checks them.

Owns: preconditions (exists, resourceVersion, namespace), no-op updates, the end of a namespace.
Refuses to know: HTTP, credentials.
"""

from __future__ import annotations

import itertools
from copy import deepcopy
from typing import Any, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from k8sdns.testing.apiserver import patches
from k8sdns.testing.apiserver.admission import admit, timestamp
from k8sdns.testing.apiserver.resources import Catalogue, Object, ResourceType
from k8sdns.testing.apiserver.shapes import shaped
from k8sdns.testing.apiserver.statuses import (
    ApiError,
    already_exists,
    apply_conflict,
    bad_request,
    conflict,
    not_found,
    precondition_failed,
)
from k8sdns.testing.apiserver.storage import Key, Storage
from k8sdns.testing.apiserver.validation import check

MADE_BY_PUT = ("Service", "Endpoints")
"""Kinds of which a PUT makes an object that is not there."""

TERMINATION = 0.5
"""Seconds from the DELETE of a namespace until it is gone."""


class Writer:
    """The write side of one server. `clock` gives seconds since the epoch and calls later."""

    def __init__(self, storage: Storage, catalogue: Catalogue, clock: IReactorTime) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._clock = clock
        self._now = clock.seconds
        self._terminating: dict[str, IDelayedCall] = {}
        self._applied: dict[tuple[ResourceType, Key, str], Object] = {}
        self._generated = itertools.count(1)

    def get(self, resource: ResourceType, key: Key) -> Object:
        """The stored object; 404 when there is none."""
        thing = self._storage.shelf(resource).objects.get(key)
        if thing is None:
            raise not_found(resource, key[1])
        return thing

    def has(self, resource: ResourceType, key: Key) -> bool:
        """True when there is such an object."""
        return key in self._storage.shelf(resource).objects

    def put(
        self, resource: ResourceType, thing: Object, *, dry_run: bool = False, checked: bool = True
    ) -> Object:
        """Store `thing` whatever was there; an equal object changes nothing, as on a server.

        Raises 400 or 422 for an object that a server would not take; one that is not `checked` is
        stored as it is, for the sake of tests with what older or broken servers let in.
        """
        shelf = self._storage.shelf(resource)
        before = self._known(resource, thing)
        thing = self._shaped(resource, thing, checked=checked)
        ready = admit(thing, resource, before, self._now(), self._cluster_ips, self._node_ports)
        if checked:
            check(ready, resource, before)
        if before is not None and _content(before) == _content(ready):
            return before
        if dry_run:
            return ready
        stored = self._storage.put(shelf.resource, ready)
        if resource.kind == "CustomResourceDefinition":
            self._catalogue.learn(stored)
        return stored

    def _shaped(self, resource: ResourceType, thing: Object, *, checked: bool) -> Object:
        try:
            return shaped(thing, resource)
        except ApiError:
            if checked:
                raise
            return thing

    def create(
        self, resource: ResourceType, namespace: str, thing: Object, *, dry_run: bool = False
    ) -> Object:
        """POST: 409 if it is there, 404 if its namespace is not, 400 for the wrong namespace."""
        thing = self._named(self._placed(resource, namespace, thing))
        if self._known(resource, thing) is not None:
            raise already_exists(resource, thing["metadata"]["name"])
        self._require_namespace(resource, namespace)
        return self.put(resource, thing, dry_run=dry_run)

    def update(
        self, resource: ResourceType, key: Key, thing: Object, *, dry_run: bool = False
    ) -> Object:
        """PUT: 404 if it is not there, 409 if the resourceVersion is not the stored one.

        400 for another name than the path's. Some kinds are made by it: `MADE_BY_PUT`.
        """
        thing = self._placed(resource, key[0], thing)
        name = thing["metadata"].setdefault("name", key[1])
        if name != key[1]:
            text = f"the name of the object ({name}) does not match the name on the URL ({key[1]})"
            raise bad_request(text)
        if resource.kind in MADE_BY_PUT and not self.has(resource, key):
            return self.create(resource, key[0], thing, dry_run=dry_run)
        before = self.get(resource, key)
        version = thing["metadata"].get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise conflict(resource, key[1])
        return self.put(resource, thing, dry_run=dry_run)

    def patch(
        self, resource: ResourceType, key: Key, content_type: str, patch: Any, *, dry_run: bool
    ) -> Object:
        """PATCH, but for server-side apply; 415 for a type that is no patch."""
        before = self.get(resource, key)
        if content_type == "application/json-patch+json":
            after = patches.json_patch(before, patch)
        elif content_type == "application/merge-patch+json":
            after = patches.merge(before, patch)
        elif content_type == "application/strategic-merge-patch+json":
            after = patches.strategic(before, patch, resource.kind)
        else:
            text = f"the body of the request was in an unknown format - {content_type}"
            raise ApiError(415, "UnsupportedMediaType", text, {})
        return self.update(resource, key, after, dry_run=dry_run)

    def apply(
        self,
        resource: ResourceType,
        key: Key,
        manager: str,
        config: Object,
        *,
        dry_run: bool,
        force: bool = False,
    ) -> tuple[Object, bool]:
        """Server-side apply; returns the object and whether it is new.

        409 where another manager applied another value, unless `force`, which takes it over.
        """
        config = self._placed(resource, key[0], config)
        live = self._storage.shelf(resource).objects.get(key)
        if live is None:
            self._require_namespace(resource, key[0])
        others = {
            owner[2]: deepcopy(theirs)
            for owner, theirs in self._applied.items()
            if owner[:2] == (resource, key) and owner[2] != manager
        }
        lost = [
            (field, other)
            for other, theirs in sorted(others.items())
            for field in patches.contested(theirs, config, resource.kind)
        ]
        if lost and not force:
            raise apply_conflict(lost)
        last = self._applied.get((resource, key, manager), {})
        after = patches.applied(live, last, config, resource.kind)
        after["metadata"] = after["metadata"] | {
            "managedFields": self._managers(live, manager, resource, config)
        }
        stored = self.put(resource, after, dry_run=dry_run)
        if not dry_run:
            self._applied[resource, key, manager] = config
            for other, theirs in others.items():
                self._applied[resource, key, other] = theirs
        return stored, live is None

    def _managers(
        self, live: Object | None, manager: str, resource: ResourceType, config: Object
    ) -> list[Object]:
        fields = {name: config[name] for name in config if name not in ("kind", "apiVersion")}
        entry = {
            "manager": manager,
            "operation": "Apply",
            "apiVersion": resource.api_version,
            "time": timestamp(self._now()),
            "fieldsType": "FieldsV1",
            "fieldsV1": patches.owned_fields(fields),
        }
        old = live["metadata"].get("managedFields", []) if live else []
        mine = (manager, "Apply")
        return [one for one in old if (one.get("manager"), one.get("operation")) != mine] + [entry]

    def terminate(self, key: Key) -> Object:
        """DELETE of a namespace: marked at once, gone with all it holds TERMINATION seconds later.

        That is the namespace controller's part: clients see two events, and objects that go first.
        """
        resource = self._catalogue.named("namespaces")
        thing = self.get(resource, key)
        if key[1] not in self._terminating:
            metadata = thing["metadata"] | {"deletionTimestamp": timestamp(self._now())}
            thing = thing | {"metadata": metadata, "status": {"phase": "Terminating"}}
            thing = self._storage.put(resource, thing)
            later = self._clock.callLater(TERMINATION, self._terminated, resource, key)
            self._terminating[key[1]] = later
        return thing

    def _terminated(self, resource: ResourceType, key: Key) -> None:
        del self._terminating[key[1]]
        for shelf in self._storage.shelves():
            for inside in [inside for inside in shelf.objects if inside[0] == key[1]]:
                self.delete(shelf.resource, inside)
        if key in self._storage.shelf(resource).objects:
            self.delete(resource, key)

    def stop(self) -> None:
        """Leave namespaces that are being deleted as they are."""
        for later in self._terminating.values():
            later.cancel()
        self._terminating.clear()

    def check_preconditions(self, resource: ResourceType, key: Key, asked: Any) -> None:
        """Raise 409 if the DeleteOptions `asked` name another uid or resourceVersion."""
        wanted = asked.get("preconditions") if isinstance(asked, dict) else None
        if not isinstance(wanted, dict):
            return
        metadata = self.get(resource, key)["metadata"]
        for name, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if wanted.get(name) not in (None, metadata[name]):
                raise precondition_failed(resource, key[1], word, wanted[name], metadata[name])

    def delete(self, resource: ResourceType, key: Key) -> Object:
        """Take one object away, and only this one; 404 if it is not there."""
        gone = self._storage.remove(resource, key) or self.get(resource, key)
        for owner in [owner for owner in self._applied if owner[:2] == (resource, key)]:
            del self._applied[owner]
        return gone

    def _known(self, resource: ResourceType, thing: Object) -> Object | None:
        metadata = thing["metadata"]
        namespace = (metadata.get("namespace") or "default") if resource.namespaced else ""
        return self._storage.shelf(resource).objects.get((namespace, metadata.get("name", "")))

    def _placed(self, resource: ResourceType, namespace: str, thing: Object) -> Object:
        """The object with the namespace of the path; 400 when it says another one."""
        if not isinstance(cast("Any", thing), dict) or not isinstance(thing.get("metadata"), dict):
            raise bad_request(
                "the object provided is unrecognized (must be of type " + resource.kind + ")"
            )
        metadata = thing["metadata"]
        if not resource.namespaced:
            return thing
        if metadata.get("namespace", namespace) != namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        return thing | {"metadata": metadata | {"namespace": namespace}}

    def _named(self, thing: Object) -> Object:
        metadata = thing["metadata"]
        if metadata.get("name") or not metadata.get("generateName"):
            return thing
        name = f"{metadata['generateName']}{next(self._generated):05x}"
        return thing | {"metadata": metadata | {"name": name}}

    def _require_namespace(self, resource: ResourceType, namespace: str) -> None:
        namespaces = self._catalogue.named("namespaces")
        if resource.namespaced and ("", namespace) not in self._storage.shelf(namespaces).objects:
            raise not_found(namespaces, namespace)
        if resource.namespaced and namespace in self._terminating:
            text = f"unable to create new content in namespace {namespace}"
            raise ApiError(403, "Forbidden", f"{text} because it is being terminated")

    def _cluster_ips(self) -> frozenset[str]:
        things = self._storage.shelf(self._catalogue.named("services")).objects.values()
        specs = (thing.get("spec") or {} for thing in things)
        return frozenset(ip for spec in specs for ip in spec.get("clusterIPs") or [])

    def _node_ports(self) -> frozenset[int]:
        things = self._storage.shelf(self._catalogue.named("services")).objects.values()
        ports = (port for thing in things for port in (thing.get("spec") or {}).get("ports") or [])
        return frozenset(port.get("nodePort", 0) for port in ports if isinstance(port, dict))


def _content(thing: Object) -> Object:
    """The object without what a server changes by itself at every write."""
    ignored = ("resourceVersion", "managedFields")
    metadata = {name: value for name, value in thing["metadata"].items() if name not in ignored}
    return thing | {"metadata": metadata}
