"""What is known of the names beside one that is denied: which of them are denied alike.

Owns: the closest enclosers in a cluster's tree, and which Services have no records of a type at
their own names. Refuses to know answers, and zones that hold anything besides the tree.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from k8sdns.authorities.endpoints import is_of_type
from k8sdns.authorities.schema import POD_TREE, SERVICE_TREE, VERSION
from k8sdns.cluster.model import Service
from k8sdns.cluster.store import Store
from k8sdns.questions import Encloser, Question
from k8sdns.records import AAAA, SRV, A

_TREES: Final = frozenset({SERVICE_TREE, POD_TREE})
_TOP: Final = _TREES | {b"dns", VERSION}
_LABELS_OF_NAMESPACE: Final = 2  # namespace, svc
_LABELS_OF_SERVICE: Final = 3  # name, namespace, svc


class Lacking:
    """Those of `services`, by their labels, that have no records of a type at their own names.

    Only what the Service itself says counts: neither aliases nor headless ones are in here.
    """

    __slots__ = ("_qtype", "_services")

    def __init__(self, services: Mapping[bytes, Service], qtype: int) -> None:
        self._services = services
        self._qtype = qtype

    def __contains__(self, label: object) -> bool:
        service = self._services.get(label)  # type: ignore[call-overload]
        return service is not None and lacks(service, self._qtype)


def lacks(service: Service, qtype: int) -> bool:
    """Tell whether a Service exists at its own name and has no records of a type there."""
    addresses = service.cluster_ips
    if not addresses or addresses[0] == "None" or service.type == "ExternalName":
        return False
    if qtype not in (A, AAAA):
        return qtype != SRV
    # Asked for every query of a type that hardly any Service has: a loop, not a generator.
    for address in addresses:  # noqa: SIM110
        if is_of_type(address, qtype):
            return False
    return True


class Enclosers:
    """The enclosers in the tree of one store.

    `may_hide` says that a Service may be treated as if it were not there, which nothing in here
    looks at.
    """

    def __init__(self, store: Store, *, may_hide: bool) -> None:
        self._store = store
        self._may_hide = may_hide

    def around(
        self, services: Mapping[bytes, Service], at: int, qtype: int, maker: Any
    ) -> Encloser:
        """Return a namespace as the encloser of its Services; it begins at octet `at` of a name."""
        return Encloser(at, services, () if self._may_hide else Lacking(services, qtype), maker)

    def are_still(self, children: Container[bytes], label: bytes) -> bool:
        """Tell whether `children` are still those of the encloser whose first label this is.

        Those of a namespace are, until it goes or loses its last Service.
        """
        store = self._store
        if children is store.namespace_at or children is _TOP:
            return True
        return store.services_in.get(label) is children and label in store.namespace_at

    def of(self, question: Question, labels: list[bytes], maker: Any) -> Encloser | None:
        """Return the encloser of a missing name from its labels left of the zone.

        None where the names beside it are not known one by one, as those of pods.
        """
        tree = labels[-1]
        at = question.zone_at
        if tree not in _TOP:
            return Encloser(at, _TOP, (), maker)
        if tree not in _TREES or len(labels) < _LABELS_OF_NAMESPACE:
            return None
        namespace = labels[-_LABELS_OF_NAMESPACE]
        at -= len(tree) + 1
        if namespace not in self._store.namespace_at:
            return Encloser(at, self._store.namespace_at, (), maker)
        if tree == POD_TREE or len(labels) < _LABELS_OF_SERVICE:
            return None
        services = self._store.services_in.get(namespace, {})
        if labels[-_LABELS_OF_SERVICE] in services:
            return None
        return self.around(services, at - len(namespace) - 1, question.qtype, maker)
