"""EndpointSlices for Services that have none: the EndpointSlice controllers' part of the play.

Owns: which Pods a Service selects, their ports, and the mirror of v1 Endpoints.
Refuses to know where Pods come from and who has which address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from k8sdns.cluster.addresses import family_of
from k8sdns.cluster.declared import (
    Declared,
    EndpointsObject,
    FullServiceSpec,
    ServicePort,
    Subset,
    text_labels,
)
from k8sdns.cluster.model import Endpoint, EndpointSlice, Port
from k8sdns.cluster.objects import PortEntry, ports_of
from k8sdns.cluster.selectors import Labels
from k8sdns.cluster.workloads import RunningPod

SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror"

Wanted: TypeAlias = dict[str, str]


class PodIndex:
    """Pods by namespace and label, so that a selector looks at few of them."""

    def __init__(self) -> None:
        self._by_label: dict[tuple[str, str, str], list[RunningPod]] = {}

    def add(self, pod: RunningPod) -> None:
        """File a Pod under each of its labels."""
        for name, value in pod.labels.items():
            self._by_label.setdefault((pod.namespace, name, value), []).append(pod)

    def selected(self, namespace: str, wanted: Wanted) -> list[RunningPod]:
        """Return the Pods of `namespace` that carry every label of `wanted`, which is not empty."""
        candidates = [
            self._by_label.get((namespace, name, value), []) for name, value in wanted.items()
        ]
        fewest = min(candidates, key=len)
        return [pod for pod in fewest if _carries(pod.labels, wanted)]


def slices_for(
    service: Declared, families: Iterable[str], pods: PodIndex, zones: dict[str, str]
) -> Iterator[EndpointSlice]:
    """Yield the slices of a Service with a selector: one a family and set of resolved ports.

    `zones` are topology zones by node. A Service that selects no Pod has one empty slice.
    """
    spec: FullServiceSpec = service.thing.spec
    chosen = pods.selected(service.namespace, text_labels(spec.selector))
    if not spec.publish_not_ready_addresses:
        chosen = [pod for pod in chosen if pod.is_ready]
    for family in families:
        groups: dict[tuple[Port, ...], list[Endpoint]] = {}
        for pod in chosen:
            if family in pod.addresses:
                endpoint = _endpoint(pod, service, family, zones)
                groups.setdefault(_ports(spec, pod), []).append(endpoint)
        if not groups:
            groups[_ports(spec, None)] = []
        for number, (ports, endpoints) in enumerate(groups.items()):
            yield _slice(service, f"{family.lower()}-{number}", ports, endpoints)


def mirrored(declared: Declared) -> Iterator[EndpointSlice]:
    """Yield the slices that mirror a v1 Endpoints object; none if it asks not to be mirrored."""
    if declared.labels.get(SKIP_MIRROR_LABEL) == "true":
        return
    thing: EndpointsObject = declared.thing
    for number, subset in enumerate(thing.subsets or ()):
        for family, endpoints in sorted(_mirrored_endpoints(subset).items()):
            ports = ports_of(subset.ports)
            yield _slice(declared, f"{family.lower()}-{number}", ports, endpoints)


def _mirrored_endpoints(subset: Subset) -> dict[str, list[Endpoint]]:
    by_family: dict[str, list[Endpoint]] = {}
    for address in subset.addresses or ():
        target = address.target_ref.name if address.target_ref else None
        endpoint = Endpoint(
            address.ip, address.hostname or "", target or "", address.node_name or "", ""
        )
        by_family.setdefault(family_of(address.ip), []).append(endpoint)
    return by_family


def _slice(
    owner: Declared, suffix: str, ports: tuple[Port, ...], endpoints: list[Endpoint]
) -> EndpointSlice:
    return EndpointSlice(
        namespace=owner.namespace,
        name=f"{owner.name}-{suffix}",
        service=owner.name,
        resource_version="",
        ports=ports,
        endpoints=tuple(endpoints),
        triggered_at=None,
    )


def _endpoint(pod: RunningPod, service: Declared, family: str, zones: dict[str, str]) -> Endpoint:
    """Return a Pod as an endpoint: with its host name if this Service governs its subdomain."""
    named = pod.hostname if pod.subdomain == service.name else ""
    return Endpoint(
        pod.addresses[family], named, pod.name, pod.node, zones.get(pod.node, "").lower()
    )


def _ports(spec: FullServiceSpec, pod: RunningPod | None) -> tuple[Port, ...]:
    """Return a Service's ports as `pod` listens on them; a name that it lacks is left out."""
    entries = []
    for entry in spec.ports or ():
        number = _target(entry, pod)
        if number is not None:
            entries.append(PortEntry(entry.name, number, entry.protocol))
    return ports_of(tuple(entries))


def _target(entry: ServicePort, pod: RunningPod | None) -> int | None:
    target = entry.target_port
    if target is None or target in {0, ""}:
        return entry.port
    if isinstance(target, int):
        return target
    if target.isdigit():
        return int(target)
    for port in pod.ports if pod else ():
        if port.name == target and (port.protocol or "TCP") == (entry.protocol or "TCP"):
            return port.container_port
    return None


def _carries(labels: Labels, wanted: Wanted) -> bool:
    return all(labels.get(name) == value for name, value in wanted.items())
