"""The subresource `scale`: how many replicas a workload is to have.

Owns: the Scale object of a workload. Refuses to know: HTTP, who makes the replicas.
"""

from __future__ import annotations

from typing import Any

from k8sdns.testing.apiserver import patches
from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.statuses import bad_request

SCALABLE = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


def is_scalable(resource: ResourceType) -> bool:
    """True for the workloads that have replicas."""
    return resource.kind in SCALABLE


def scale_of(workload: Object) -> Object:
    """The Scale (autoscaling/v1) of a workload."""
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {name: workload["metadata"][name] for name in names if name in workload["metadata"]}
    replicas = (workload.get("spec") or {}).get("replicas", 1)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas},
    }


def scaled(workload: Object, change: Any, *, is_patch: bool) -> Object:
    """The workload with what a Scale, or a merge patch of one, asks for; 400 for no number."""
    wanted = patches.merge(scale_of(workload), change) if is_patch else change
    spec = wanted.get("spec") if isinstance(wanted, dict) else None
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if not isinstance(replicas, int) or replicas < 0:
        raise bad_request("spec.replicas: must be a number that is not negative")
    return workload | {"spec": (workload.get("spec") or {}) | {"replicas": replicas}}
