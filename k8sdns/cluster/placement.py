"""Who is where: the nodes, the Pods on them, and the addresses of Pods and Services.

Owns: families, pools, nodes and zones. Refuses to know workloads, selectors and slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from k8sdns.cluster.addresses import Pool, Ranges, family_of, stable_hash
from k8sdns.cluster.declared import Declared, FullServiceSpec
from k8sdns.cluster.model import Service
from k8sdns.cluster.workloads import RunningPod

_ZONE_LABEL = "topology.kubernetes.io/zone"
_PLAIN_NODE = Declared("Node", "", "node-1", {})


class Placement:
    """Gives out addresses and places; reserve all that is named by hand before the first."""

    def __init__(
        self,
        service_ranges: Ranges,
        pod_ranges: Ranges,
        nodes: Sequence[Declared],
        problems: list[str],
    ) -> None:
        self.nodes = list(nodes) or [_PLAIN_NODE]
        self.zones = {node.name: node.labels.get(_ZONE_LABEL, "") for node in self.nodes}
        self.primary = service_ranges.families[0]
        self.api_ip = service_ranges.first(self.primary)
        self._service_pools = _pools(service_ranges)
        self._pod_pools = _pools(pod_ranges)
        self._service_pools[self.primary].take((self.api_ip,))
        self._problems = problems
        self._node_addresses = {node.name: _addresses(node) for node in self.nodes}
        for known in self._node_addresses.values():
            _take(self._pod_pools, known.values())

    # -- Pods --------------------------------------------------------------------------------

    def reserve(self, pod: RunningPod) -> None:
        """Keep the addresses that a Pod has by its status."""
        _take(self._pod_pools, pod.addresses.values())

    def settle(self, pod: RunningPod) -> None:
        """Give a Pod a node, and an address of each family, unless its status says all that."""
        if not pod.node:
            where = stable_hash(f"{pod.namespace}/{pod.name}") % len(self.nodes)
            pod.node = self.nodes[where].name
        if pod.has_status:
            return
        for family in self._pod_pools:
            if pod.host_network:
                address = self.node_address(pod.node, family)
            else:
                address = self._give(self._pod_pools, family, f"{pod.namespace}/{pod.name}")
            if address:
                pod.addresses[family] = address

    def node_address(self, node: str, family: str) -> str | None:
        """Return the address of a node: its own, or one of the pod range."""
        known = self._node_addresses.setdefault(node, {})
        if family not in known:
            address = self._give(self._pod_pools, family, f"node {node}")
            if address is None:
                return None
            known[family] = address
        return known[family]

    # -- Services ----------------------------------------------------------------------------

    def reserve_service(self, service: Service) -> None:
        """Keep the cluster addresses that a Service declares."""
        _take(self._service_pools, (ip for ip in service.cluster_ips if ip != "None"))

    def service_families(self, spec: FullServiceSpec) -> tuple[str, ...]:
        """Return the families of a Service as the API server would choose them, first one first."""
        wanted = tuple(dict.fromkeys(f for f in spec.ip_families or () if f in self._service_pools))
        if spec.ip_family_policy in {"PreferDualStack", "RequireDualStack"}:
            return tuple(dict.fromkeys((*(wanted or (self.primary,)), *self._service_pools)))
        return wanted or (self.primary,)

    def service_ips(self, service: Service, families: Iterable[str]) -> tuple[str, ...]:
        """Return the cluster addresses of a Service: those it declares, then one a family."""
        addresses = {family_of(ip): ip for ip in service.cluster_ips}
        for family in families if len(addresses) < len(tuple(families)) else ():
            if family not in addresses:
                name = f"{service.namespace}/{service.name}"
                address = self._give(self._service_pools, family, name)
                if address:
                    addresses[family] = address
        return tuple(addresses.values())

    def endpoint_families(self, spec: FullServiceSpec, service: Service) -> tuple[str, ...]:
        """Return the families of which a Service has slices: those of its addresses."""
        if service.is_headless:
            return self.service_families(spec)
        return tuple(dict.fromkeys(family_of(ip) for ip in service.cluster_ips))

    def _give(self, pools: dict[str, Pool], family: str, name: str) -> str | None:
        address = pools[family].give(name)
        if address is None:
            self._problems.append(f"the {family} range {pools[family]} is full: none for {name}")
        return address


def _pools(ranges: Ranges) -> dict[str, Pool]:
    return {family: ranges.pool(family) for family in ranges.families}


def _take(pools: dict[str, Pool], addresses: Iterable[str]) -> None:
    for address in addresses:
        pools[family_of(address)].take((address,))


def _addresses(node: Declared) -> dict[str, str]:
    """Return a node's internal addresses by family."""
    status = node.thing.status if node.thing else None
    internal = [
        a.address for a in (status.addresses if status else None) or () if a.type == "InternalIP"
    ]
    return {family_of(address): address for address in reversed(internal)}
