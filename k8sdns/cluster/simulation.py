"""The controllers' part: what a cluster would make of its manifests, as far as DNS can tell.

Owns: what is absent from the manifests and must be made up, and in which order.
Refuses to know files and the store.

Everything follows from the declared objects alone, whatever their order: the same manifests are
the same cluster at every start and in every process. What a manifest says always wins: a cluster
address, a Pod's status, a slice, an Endpoints object, the Pods of a workload.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TypeAlias

import msgspec

from k8sdns.cluster.addresses import Ranges
from k8sdns.cluster.declared import WORKLOADS, Declared, FullServiceSpec, text_labels
from k8sdns.cluster.model import (
    Endpoint,
    EndpointSlice,
    Key,
    Namespace,
    Pod,
    Port,
    Service,
    Thing,
)
from k8sdns.cluster.objects import (
    SERVICE_NAME_LABEL,
    namespace_of,
    pod_of,
    service_of,
    slice_of,
)
from k8sdns.cluster.placement import Placement
from k8sdns.cluster.selectors import Labels
from k8sdns.cluster.slices import PodIndex, mirrored, slices_for
from k8sdns.cluster.workloads import RunningPod, from_pod, pods_of

_INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_NAME_LABEL = "kubernetes.io/metadata.name"
_API_KEY = ("default", "kubernetes")
_API_LABELS = {"component": "apiserver", "provider": "kubernetes"}

Labelled: TypeAlias = tuple[Thing, Labels]
"""An object of the DNS view, and the labels that its API object carries."""


class Cluster:
    """Declared objects on their way to becoming a cluster; for one use.

    Of several with one key the last counts. Where `is_simulated` is false, nothing is made up.
    `problems` says afterwards what could not be had, one line each.
    """

    def __init__(
        self,
        declared: Iterable[Declared],
        service_ranges: Ranges,
        pod_ranges: Ranges,
        *,
        is_simulated: bool = True,
    ) -> None:
        self._by_kind: dict[str, dict[Key, Declared]] = {}
        for thing in declared:
            self._by_kind.setdefault(thing.kind, {})[thing.key] = thing
        self._is_simulated = is_simulated
        self.problems: list[str] = []
        self._place = Placement(service_ranges, pod_ranges, self._all("Node"), self.problems)

    def objects(self) -> Iterator[Labelled | None]:
        """Yield every object of the DNS view, and None at times; the caller may pause at each."""
        yield from self._namespaces()
        if self._is_simulated:
            yield from self._played()
        else:
            yield from self._as_declared()

    def _as_declared(self) -> Iterator[Labelled]:
        for thing in self._all("Service"):
            yield service_of(thing.thing), thing.labels
        for thing in self._all("Pod"):
            if (pod := pod_of(thing.thing)) is not None:
                yield pod, thing.labels
        yield from self._declared_slices()

    def _played(self) -> Iterator[Labelled | None]:
        pods = yield from self._running_pods()
        index = PodIndex()
        for pod in pods:
            self._place.settle(pod)
            index.add(pod)
            yield Pod(pod.namespace, pod.name, "", pod.primary_address), pod.labels
        services = yield from self._services()
        yield from self._declared_slices()
        yield from self._made_slices(services, index)
        if self._needs_initial_objects() and _API_KEY not in self._by_kind.get("Service", {}):
            yield from self._api_server()

    def _namespaces(self) -> Iterator[Labelled]:
        for thing in self._all("Namespace"):
            yield namespace_of(thing.thing), {**thing.labels, _NAME_LABEL: thing.name}
        if not self._is_simulated:
            return
        names = {thing.namespace for known in self._by_kind.values() for thing in known.values()}
        if self._needs_initial_objects():
            names.update(_INITIAL_NAMESPACES)
        declared = {thing.name for thing in self._all("Namespace")}
        for name in sorted(names - declared - {""}):
            yield Namespace(name, ""), {_NAME_LABEL: name}

    def _needs_initial_objects(self) -> bool:
        """Tell whether what every cluster is born with is to be made up.

        Manifests of applications never declare the namespace default; the dump of a cluster does,
        and then it shows the rest of what that cluster has too.
        """
        return ("", "default") not in self._by_kind.get("Namespace", {})

    # -- Pods --------------------------------------------------------------------------------

    def _running_pods(self) -> Generator[None, None, list[RunningPod]]:
        """Return declared Pods and those of workloads, in the order of their keys."""
        pods: list[RunningPod] = []
        seen = PodIndex()
        for thing in self._all("Pod"):
            if pod_of(thing.thing) is not None:
                pods.append(from_pod(thing))
                self._place.reserve(pods[-1])
                if pods[-1].has_status:
                    seen.add(pods[-1])
            yield
        for kind in sorted(WORKLOADS):
            for workload in self._all(kind):
                if not self._is_played_out(workload, seen):
                    pods.extend(pods_of(workload, self._place.nodes))
                yield
        by_key = {(pod.namespace, pod.name): pod for pod in reversed(pods)}
        return [by_key[key] for key in sorted(by_key)]

    def _is_played_out(self, workload: Declared, seen: PodIndex) -> bool:
        """Tell whether what this workload makes stands in the manifests: its Pods, or its owner."""
        owners = workload.thing.metadata.owner_references or ()
        for owner in owners:
            if (workload.namespace, owner.name) in self._by_kind.get(owner.kind, {}):
                return True
        spec = workload.thing.spec
        template = spec.template.metadata if spec and spec.template else None
        labels = text_labels(template.labels if template else None)
        return bool(labels) and bool(seen.selected(workload.namespace, labels))

    # -- Services ----------------------------------------------------------------------------

    def _services(self) -> Generator[Labelled | None, None, list[tuple[Declared, Service]]]:
        """Yield the Services, each with its cluster addresses, and return them."""
        declared = self._all("Service")
        for thing in declared:
            self._place.reserve_service(service_of(thing.thing))
            yield None
        services = []
        for thing in declared:
            service = self._with_addresses(thing, service_of(thing.thing))
            services.append((thing, service))
            yield service, thing.labels
        return services

    def _with_addresses(self, declared: Declared, view: Service) -> Service:
        spec: FullServiceSpec = declared.thing.spec or FullServiceSpec()
        if view.type == "ExternalName" or view.is_headless or spec.cluster_ips:
            return view
        families = self._place.service_families(spec)
        return msgspec.structs.replace(view, cluster_ips=self._place.service_ips(view, families))

    def _api_server(self) -> Iterator[Labelled]:
        """Yield the Service `kubernetes`, which every cluster has at its first address."""
        service = Service(
            *_API_KEY, "", "ClusterIP", (self._place.api_ip,), "", (Port("https", 443, "TCP"),), ()
        )
        node = self._place.nodes[0].name
        address = self._place.node_address(node, self._place.primary)
        endpoints = (Endpoint(address, "", "", "", ""),) if address else ()
        ports = (Port("https", 6443, "TCP"),)
        piece = EndpointSlice(*_API_KEY, "kubernetes", "", ports, endpoints, None)
        yield service, _API_LABELS
        yield piece, {SERVICE_NAME_LABEL: "kubernetes"}

    # -- EndpointSlices ------------------------------------------------------------------------

    def _declared_slices(self) -> Iterator[Labelled]:
        for thing in self._all("EndpointSlice"):
            yield slice_of(thing.thing), thing.labels

    def _made_slices(
        self, services: list[tuple[Declared, Service]], pods: PodIndex
    ) -> Iterator[Labelled]:
        """Yield slices for each Service that has none: from Endpoints, else from Pods."""
        sliced = {
            (piece.namespace, piece.labels.get(SERVICE_NAME_LABEL))
            for piece in self._all("EndpointSlice")
        }
        endpoints = self._by_kind.get("Endpoints", {})
        for declared, service in services:
            if declared.key in sliced or service.type == "ExternalName":
                continue
            if (known := endpoints.get(declared.key)) is not None:
                made = mirrored(known)
            elif declared.thing.spec and declared.thing.spec.selector:
                families = self._place.endpoint_families(declared.thing.spec, service)
                made = slices_for(declared, families, pods, self._place.zones)
            else:
                continue
            for piece in made:
                yield piece, {**declared.labels, SERVICE_NAME_LABEL: service.name}

    def _all(self, kind: str) -> list[Declared]:
        """Return the declared objects of `kind` in the order of their keys."""
        known = self._by_kind.get(kind, {})
        return [known[key] for key in sorted(known)]
