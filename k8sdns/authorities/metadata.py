"""What `metadata` is told about a question for cluster names, in CoreDNS's labels.

Owns: the labels. Refuses to know how names are answered.
"""

from __future__ import annotations

from k8sdns import names
from k8sdns.authorities.schema import Place
from k8sdns.cluster.model import Pod

_FIELDS = {
    "endpoint": "endpoint",
    "kind": "tree",
    "namespace": "namespace",
    "port-name": "port",
    "protocol": "protocol",
    "service": "service",
}


def place_labels(place: Place | None) -> dict[str, str]:
    """Return what a name is about; None is a name outside the grammar."""
    if place is None:
        return {"kubernetes/parse-error": "invalid query name"}
    labels = {
        f"kubernetes/{label}": names.label_text(getattr(place, field))
        for label, field in _FIELDS.items()
    }
    if place.zonal:
        labels["kubernetes/zone"] = place.topology_zone
    return labels


def client_labels(pod: Pod) -> dict[str, str]:
    """Return who asks."""
    return {"kubernetes/client-namespace": pod.namespace, "kubernetes/client-pod-name": pod.name}
