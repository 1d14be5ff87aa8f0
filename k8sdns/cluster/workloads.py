"""The Pods that a workload's controller would have made, with the names it would have given them.

Owns: one rule a kind of workload. Refuses to know addresses, Services, and whether the play is
wanted at all.

Names that real controllers end in random letters end in letters of a hash here, so that they are
the same at every start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from k8sdns.cluster.addresses import family_of, stable_letters
from k8sdns.cluster.declared import (
    ContainerPort,
    Declared,
    FullPod,
    FullPodStatus,
    PodSpec,
    Workload,
    WorkloadSpec,
    text_labels,
)

MAX_REPLICAS = 5_000
"""The most Pods that one workload is given here; more would be a mistake or a mischief."""

# A generated name is cut so that it stays a label of a DNS name with its five letters.
_MAX_BASE = 58


class RunningPod(msgspec.Struct):
    """A Pod as the EndpointSlice controller sees it; `addresses` by family, "IPv4" or "IPv6"."""

    namespace: str
    name: str
    labels: dict[str, str]
    hostname: str = ""
    subdomain: str = ""
    node: str = ""
    host_network: bool = False
    is_ready: bool = True
    has_status: bool = False
    ports: tuple[ContainerPort, ...] = ()
    addresses: dict[str, str] = {}

    @property
    def primary_address(self) -> str:
        """The address that is the Pod's podIP, "" while it has none."""
        return next(iter(self.addresses.values()), "")


def from_pod(declared: Declared) -> RunningPod:
    """Return a Pod that a manifest declares; its status, where it has one, is believed."""
    pod: FullPod = declared.thing
    status = pod.status or FullPodStatus()
    conditions = status.conditions or ()
    made = _from_spec(declared.namespace, declared.name, dict(declared.labels), pod.spec)
    made.is_ready = not any(c.type == "Ready" and c.status != "True" for c in conditions)
    made.has_status = bool(status.phase or status.pod_ip)
    for ip in (status.pod_ip, *(entry.ip for entry in status.pod_ips or ())):
        if ip:
            made.addresses.setdefault(family_of(ip), ip)
    return made


def pods_of(declared: Declared, nodes: Sequence[Declared]) -> Iterator[RunningPod]:
    """Yield the Pods of a workload, in a fixed order; none of one that is suspended or complete."""
    workload: Workload = declared.thing
    spec = workload.spec or WorkloadSpec()
    match declared.kind:
        case "DaemonSet":
            yield from _daemons(declared, spec, nodes)
        case "StatefulSet":
            yield from _ordinals(declared, spec)
        case "Job":
            yield from _job(declared, workload, spec)
        case "Deployment":
            letters = stable_letters(f"{declared.namespace}/{declared.name}", 10)
            yield from _replicas(declared, spec, f"{declared.name}-{letters}-")
        case _:
            yield from _replicas(declared, spec, f"{declared.name}-")


def _replicas(declared: Declared, spec: WorkloadSpec, base: str) -> Iterator[RunningPod]:
    for index in range(_bounded(spec.replicas)):
        yield _templated(declared, spec, _generated(declared, base, str(index)))


def _daemons(
    declared: Declared, spec: WorkloadSpec, nodes: Sequence[Declared]
) -> Iterator[RunningPod]:
    """Yield one Pod a node that the template's nodeSelector takes."""
    template = _pod_spec(spec)
    wanted = text_labels(template.node_selector if template else None)
    for node in nodes:
        if all(node.labels.get(key) == value for key, value in wanted.items()):
            pod = _templated(declared, spec, _generated(declared, f"{declared.name}-", node.name))
            pod.node = node.name
            yield pod


def _ordinals(declared: Declared, spec: WorkloadSpec) -> Iterator[RunningPod]:
    """Yield Pods with stable names, which are their host names too (StatefulSet)."""
    start = spec.ordinals.start if spec.ordinals else 0
    for ordinal in range(start, start + _bounded(spec.replicas)):
        pod = _templated(declared, spec, f"{declared.name}-{ordinal}")
        pod.hostname = pod.name
        pod.subdomain = spec.service_name or ""
        pod.labels["statefulset.kubernetes.io/pod-name"] = pod.name
        pod.labels["apps.kubernetes.io/pod-index"] = str(ordinal)
        yield pod


def _job(declared: Declared, workload: Workload, spec: WorkloadSpec) -> Iterator[RunningPod]:
    """Yield the Pods that run side by side; an Indexed Job's have host names."""
    conditions = (workload.status.conditions if workload.status else None) or ()
    ended = any(c.type in {"Complete", "Failed"} and c.status == "True" for c in conditions)
    if spec.suspend or ended:
        return
    count = min(_bounded(spec.parallelism), _bounded(spec.completions or MAX_REPLICAS))
    for index in range(count):
        indexed = spec.completion_mode == "Indexed"
        base = f"{declared.name}-{index}-" if indexed else f"{declared.name}-"
        pod = _templated(declared, spec, _generated(declared, base, str(index)))
        pod.labels["job-name"] = pod.labels["batch.kubernetes.io/job-name"] = declared.name
        if indexed:
            pod.hostname = f"{declared.name}-{index}"
        yield pod


def _templated(declared: Declared, spec: WorkloadSpec, name: str) -> RunningPod:
    template = spec.template
    labels = template.metadata.labels if template and template.metadata else None
    return _from_spec(declared.namespace, name, text_labels(labels), _pod_spec(spec))


def _from_spec(
    namespace: str, name: str, labels: dict[str, str], spec: PodSpec | None
) -> RunningPod:
    spec = spec or PodSpec()
    containers = (*(spec.init_containers or ()), *(spec.containers or ()))
    return RunningPod(
        namespace=namespace,
        name=name,
        labels=labels,
        hostname=spec.hostname or "",
        subdomain=spec.subdomain or "",
        node=spec.node_name or "",
        host_network=bool(spec.host_network),
        ports=tuple(port for container in containers for port in container.ports or ()),
    )


def _pod_spec(spec: WorkloadSpec) -> PodSpec | None:
    return spec.template.spec if spec.template else None


def _bounded(count: int | None) -> int:
    return 1 if count is None else max(0, min(count, MAX_REPLICAS))


def _generated(declared: Declared, base: str, salt: str) -> str:
    seed = f"{declared.kind}/{declared.namespace}/{declared.name}/{salt}"
    return base[:_MAX_BASE] + stable_letters(seed, 5)
