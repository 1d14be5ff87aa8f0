"""The kinds that the fake API server knows: which group, version, path and scope each has.

Owns: the table of resource types and how it grows (an unknown kind, a CustomResourceDefinition).
Refuses to know: objects, storage, HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An API object as JSON has it. What is stored is never mutated: changes are made on copies."""


@dataclass(frozen=True)
class ResourceType:
    """One row of discovery: `group` is "" for the core API; `plural` is the word in the path."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The object's `apiVersion`: "v1", or "apps/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name that messages use: "services", "deployments.apps"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """The path of the group and version: "/api/v1", "/apis/apps/v1"."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"


_TABLE = """
v1                           services                Service               ns       svc
v1                           pods                    Pod                   ns       po
v1                           namespaces              Namespace             cluster  ns
v1                           endpoints               Endpoints             ns       ep
v1                           nodes                   Node                  cluster  no
v1                           configmaps              ConfigMap             ns       cm
v1                           secrets                 Secret                ns       -
v1                           serviceaccounts         ServiceAccount        ns       sa
v1                           events                  Event                 ns       ev
v1                           limitranges             LimitRange            ns       limits
v1                           resourcequotas          ResourceQuota         ns       quota
v1                           persistentvolumes       PersistentVolume      cluster  pv
v1                           persistentvolumeclaims  PersistentVolumeClaim ns       pvc
v1                           replicationcontrollers  ReplicationController ns       rc
discovery.k8s.io/v1          endpointslices          EndpointSlice         ns       -
apps/v1                      deployments             Deployment            ns       deploy
apps/v1                      statefulsets            StatefulSet           ns       sts
apps/v1                      daemonsets              DaemonSet             ns       ds
apps/v1                      replicasets             ReplicaSet            ns       rs
batch/v1                     jobs                    Job                   ns       -
batch/v1                     cronjobs                CronJob               ns       cj
autoscaling/v2               horizontalpodautoscalers HorizontalPodAutoscaler ns    hpa
policy/v1                    poddisruptionbudgets    PodDisruptionBudget   ns       pdb
networking.k8s.io/v1         ingresses               Ingress               ns       ing
networking.k8s.io/v1         ingressclasses          IngressClass          cluster  -
networking.k8s.io/v1         networkpolicies         NetworkPolicy         ns       netpol
rbac.authorization.k8s.io/v1 roles                   Role                  ns       -
rbac.authorization.k8s.io/v1 rolebindings            RoleBinding           ns       -
rbac.authorization.k8s.io/v1 clusterroles            ClusterRole           cluster  -
rbac.authorization.k8s.io/v1 clusterrolebindings     ClusterRoleBinding    cluster  -
storage.k8s.io/v1            storageclasses          StorageClass          cluster  sc
scheduling.k8s.io/v1         priorityclasses         PriorityClass         cluster  pc
coordination.k8s.io/v1       leases                  Lease                 ns       -
apiextensions.k8s.io/v1      customresourcedefinitions CustomResourceDefinition cluster crd
"""


def _built_in() -> Iterator[ResourceType]:
    for line in _TABLE.strip().splitlines():
        api_version, plural, kind, scope, short = line.split()
        group, _, version = api_version.rpartition("/")
        names = () if short == "-" else (short,)
        yield ResourceType(group, version, plural, kind, scope == "ns", names)


def guess_plural(kind: str) -> str:
    """The path word of a kind nobody described: "Gateway" is "gateways", "Policy" "policies"."""
    word = kind.lower()
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


class Catalogue:
    """Every resource type of one server, findable by path, by kind and by `apiVersion`."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], ResourceType] = {}
        self._by_kind: dict[tuple[str, str, str], ResourceType] = {}
        for resource in _built_in():
            self.add(resource)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(self._by_path.values())

    def add(self, resource: ResourceType) -> ResourceType:
        """Know `resource` from now on; a type of the same path is replaced."""
        self._by_path[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.group, resource.version, resource.kind] = resource
        return resource

    def at_path(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The type served below /apis/GROUP/VERSION/PLURAL, if any."""
        return self._by_path.get((group, version, plural))

    def named(self, word: str) -> ResourceType:
        """The type that `word` names: a kind ("Service") or a plural ("services").

        Raises `KeyError` when there is none.
        """
        for resource in self:
            if word in (resource.kind, resource.plural, resource.qualified):
                return resource
        raise KeyError(word)

    def of(self, thing: Object) -> ResourceType:
        """The type of an object by its `apiVersion` and `kind`; an unknown one is learnt.

        Scope is not written on an object: an unknown kind is namespaced if this one has a
        namespace. Raises `ValueError` when `apiVersion`, `kind` or `metadata` is missing.
        """
        api_version, kind = thing.get("apiVersion"), thing.get("kind")
        if not (isinstance(api_version, str) and isinstance(kind, str) and api_version and kind):
            raise ValueError("an object needs apiVersion and kind")
        if not isinstance(thing.get("metadata"), dict):
            raise ValueError(f"{kind} has no metadata")  # noqa: TRY004
        group, _, version = api_version.rpartition("/")
        known = self._by_kind.get((group, version, kind))
        if known is not None:
            return known
        namespaced = "namespace" in thing["metadata"]
        return self.add(ResourceType(group, version, guess_plural(kind), kind, namespaced))

    def learn(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition describes, each of its served versions."""
        spec = definition.get("spec") or {}
        names = spec.get("names") or {}
        for version in spec.get("versions") or []:
            if version.get("served", True):
                self.add(
                    ResourceType(
                        spec["group"],
                        version["name"],
                        names["plural"],
                        names["kind"],
                        spec.get("scope", "Namespaced") == "Namespaced",
                        tuple(names.get("shortNames") or ()),
                    )
                )
