"""The tree of names of one cluster: what is at a place, and where an address is found.

Owns: which namespaces are exposed, views of Services and how long they hold. Refuses to know
zones, TTLs and records.
"""

from __future__ import annotations

from collections.abc import Iterator

from k8sdns.authorities.backends import Backend, ServiceView
from k8sdns.authorities.pods import DISABLED, VERIFIED, pod_backends
from k8sdns.authorities.reverse import pointer_owners
from k8sdns.authorities.schema import POD_TREE, Place
from k8sdns.cluster.store import Store


class ClusterTree:
    """The store as the options of one authority show it; for the options see there."""

    def __init__(
        self,
        store: Store,
        *,
        pods: str,
        namespaces: frozenset[str] | None,
        endpoint_pod_names: bool,
        ignore_empty_service: bool,
        noendpoints: bool,
    ) -> None:
        self.store = store
        self.pods = pods
        self.pod_names = endpoint_pod_names
        self._namespaces = namespaces
        self._labels = None if namespaces is None else {name.encode("utf-8") for name in namespaces}
        self.ignores_empty = ignore_empty_service
        self._noendpoints = noendpoints
        self._views: dict[tuple[bytes, bytes], ServiceView] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of objects that names depend on."""
        kinds = ["services", "namespaces"]
        if not self._noendpoints:
            kinds.append("endpointslices")
        if self.pods == VERIFIED:
            kinds.append("pods")
        return tuple(kinds)

    def has_namespace(self, place: Place) -> bool:
        """Tell whether there is anything below the namespace of `place` in its tree."""
        namespace = place.namespace
        if namespace not in self.store.namespace_at:
            return False
        if self._labels is not None and namespace not in self._labels:
            return False
        return place.tree != POD_TREE or self.pods != DISABLED

    def is_exposed(self, namespace: str) -> bool:
        """Tell whether names in `namespace` are served: it exists and is not configured away."""
        if namespace not in self.store.namespaces:
            return False
        return self._namespaces is None or namespace in self._namespaces

    def view(self, namespace: bytes, name: bytes) -> ServiceView | None:
        """Return the Service at two labels, whether its namespace is exposed or not."""
        view = self._views.get((namespace, name))
        if view is None:
            service = self.store.service_at(namespace, name)
            if service is None:
                return None
            key = (service.namespace, service.name)
            view = self._views[namespace, name] = ServiceView(
                service,
                () if self._noendpoints else self.store.slices_of(*key),
                pod_names=self.pod_names,
                ignore_empty=self.ignores_empty,
            )
        return view

    def exposed_views(self) -> Iterator[ServiceView]:
        """Yield every Service that is served, by name, then namespace."""
        for namespace, name in sorted(self.store.services, key=lambda key: (key[1], key[0])):
            if self.is_exposed(namespace):
                view = self.view(namespace.encode("utf-8"), name.encode("utf-8"))
                if view is not None:
                    yield view

    def pod(self, place: Place) -> tuple[Backend, ...]:
        """Return the pod at `place`, () if there is none."""
        return pod_backends(self.store, place, self.pods)

    def owners_of(self, address: str) -> list[bytes]:
        """Return the names of an address as labels left of the primary zone, [] if it has none."""
        return pointer_owners(
            self.store,
            address,
            self._is_pointed_at,
            endpoints=not self._noendpoints,
            pod_names=self.pod_names,
        )

    def changed(self, namespace: str, name: str) -> None:
        """Forget the view of a Service."""
        self._views.pop((namespace.encode("utf-8"), name.encode("utf-8")), None)

    def _is_pointed_at(self, namespace: str) -> bool:
        # CoreDNS asks whether a namespace exists only where a list of them is configured.
        return self._namespaces is None or self.is_exposed(namespace)
