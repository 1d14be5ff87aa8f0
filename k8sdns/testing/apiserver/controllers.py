"""The controllers' part: Pods, EndpointSlices and namespaces that follow from what was applied.

Owns: when the play is repeated, and which objects are its own. Refuses to know: how workloads
become Pods (`k8sdns.cluster.simulation` does, as for manifests).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from k8sdns.cluster.addresses import POD_CIDRS, SERVICE_CIDRS, Ranges, family_of
from k8sdns.cluster.declared import Declared, declare
from k8sdns.cluster.documents import ManifestError
from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Pod, Port, Service, Thing
from k8sdns.cluster.selectors import Labels
from k8sdns.cluster.simulation import Cluster
from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.storage import Change

if TYPE_CHECKING:
    from k8sdns.testing.apiserver.server import FakeApiServer

Made = tuple[str, str, str]
"""(kind, namespace, name) of an object that is ours."""

DELAY = 0.02
"""Seconds from a change until the controllers act: what is applied together is seen together."""

_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class Controllers:
    """Keeps what follows from the applied objects up to date; what was applied always wins."""

    log = Logger()

    def __init__(self, server: FakeApiServer) -> None:
        self._server = server
        self._made: set[Made] = set()
        self._is_playing = False
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        """Play now, and after every change from now on."""
        self._server.storage.watchers.append(self._changed)
        self._play()

    def stop(self) -> None:
        """Play no more; what was made stays."""
        self._server.storage.watchers.remove(self._changed)
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _changed(self, resource: ResourceType, change: Change) -> None:
        del resource, change
        if self._next is None and not self._is_playing:
            self._next = self._server.clock.callLater(DELAY, self._play)

    def _play(self) -> None:
        self._next = None
        self._is_playing = True
        try:
            self._settle()
        finally:
            self._is_playing = False

    def _settle(self) -> None:
        cluster = Cluster(
            self._declared(), Ranges((), SERVICE_CIDRS), Ranges((), POD_CIDRS), is_simulated=True
        )
        wanted: dict[Made, Object] = {}
        for made in [api_object(*found) for found in cluster.objects() if found is not None]:
            name = _name(made)
            stored = self._server.get(*name)
            if stored is None or name in self._made:
                wanted[name] = made
            elif made["kind"] == "Pod" and not (stored.get("status") or {}).get("podIP"):
                self._server.apply(stored | {"status": made["status"]})
        for gone in self._made - wanted.keys():
            self._server.delete(*gone)
        for made in wanted.values():
            self._server.apply(made)
        self._made = set(wanted)

    def _declared(self) -> list[Declared]:
        found = []
        for shelf in self._server.storage.shelves():
            for key, thing in shelf.objects.items():
                if (shelf.resource.kind, *key) in self._made:
                    continue
                try:
                    found.append(declare(deepcopy(thing), shelf.resource.plural, 0))
                except ManifestError as error:
                    self.log.warn("left out of the simulation: {error}", error=error)
        return found


def api_object(thing: Thing, labels: Labels) -> Object:
    """The API object whose DNS view is `thing`."""
    metadata: Object = {"name": thing.name, "labels": dict(labels)}
    if isinstance(thing, Namespace):
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    metadata["namespace"] = thing.namespace
    if isinstance(thing, Pod):
        status = {"phase": "Running", "podIP": thing.ip, "podIPs": [{"ip": thing.ip}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
    if isinstance(thing, Service):
        spec = {"clusterIPs": list(thing.cluster_ips), "ports": _ports(thing.ports)}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    metadata["labels"] |= {_MANAGED_BY: "endpointslice-controller.k8s.io"}
    return _slice(thing, metadata)


def _slice(piece: EndpointSlice, metadata: Object) -> Object:
    addresses = [one.address for one in piece.endpoints]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family_of(addresses[0]) if addresses else "IPv4",
        "endpoints": [_endpoint(one) for one in piece.endpoints],
        "ports": _ports(piece.ports),
    }


def _endpoint(one: Endpoint) -> Object:
    conditions = {"ready": True, "serving": True, "terminating": False}
    entry: Object = {"addresses": [one.address], "conditions": conditions}
    for name, value in (("hostname", one.hostname), ("nodeName", one.node), ("zone", one.zone)):
        if value:
            entry[name] = value
    if one.target:
        entry["targetRef"] = {"kind": "Pod", "name": one.target}
    return entry


def _ports(ports: tuple[Port, ...]) -> list[dict[str, Any]]:
    known = [port for port in ports if port.port > 0]
    return [{"name": one.name, "port": one.port, "protocol": one.protocol} for one in known]


def _name(thing: Object) -> Made:
    return thing["kind"], thing["metadata"].get("namespace", ""), thing["metadata"]["name"]
