"""The names of a cluster zone: what the labels left of the zone stand for.

Owns: the grammar of the Kubernetes DNS specification, with the liberties that CoreDNS takes.
Refuses to know what exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SERVICE_TREE = b"svc"
POD_TREE = b"pod"
VERSION = b"dns-version"

_UNDERSCORE = b"_"
_ZONE_LABEL = b"_zone"
_ZONAL_WORDS = frozenset({b"pin", b"prefer"})


class Place(NamedTuple):
    """Where a name stands in the tree; empty fields are not in the name.

    `tree` is ``svc`` or ``pod``, empty at the apex. `service` is the pod's label in the pod tree.
    `has_port` tells ``_port._protocol`` from a bare service: either may be empty and match any.
    """

    tree: bytes = b""
    namespace: bytes = b""
    service: bytes = b""
    endpoint: bytes = b""
    port: bytes = b""
    protocol: bytes = b""
    has_port: bool = False
    zonal: bytes = b""  # ``pin`` or ``prefer``
    topology_zone: str = ""


APEX = Place()


def parse(labels: Sequence[bytes], *, zonal: bool = False) -> Place | None:
    """Return the place of a name from its lower-case labels left of the zone, None for none.

    Kubernetes DNS specification §2.3-2.5. The underscores of ``_port._protocol`` are optional
    (CoreDNS), the wildcards of old versions are ordinary labels. `zonal` adds the names of
    CoreDNS's option of that name.
    """
    count = len(labels)
    if not count:
        return APEX
    tree = labels[-1]
    if tree not in (SERVICE_TREE, POD_TREE):
        return None
    if count == 3:
        return Place(tree, labels[1], labels[0])
    if count == 4:
        return Place(tree, labels[2], labels[1], labels[0])
    if count == 5:
        port, protocol, service, namespace, _ = labels
        return Place(tree, namespace, service, b"", _bare(port), _bare(protocol), has_port=True)
    if count == 2:
        return Place(tree, labels[0])
    if count == 1:
        return Place(tree)
    return _parse_zonal(labels) if zonal and tree == SERVICE_TREE else None


def _bare(label: bytes) -> bytes:
    return label.removeprefix(_UNDERSCORE)


def _parse_zonal(labels: Sequence[bytes]) -> Place | None:
    """Read ``<topology zone>.pin._zone.<service>.<namespace>.svc``; the zone may hold dots."""
    *topology, word, marker, service, namespace, tree = labels
    if marker != _ZONE_LABEL or word not in _ZONAL_WORDS or not topology:
        return None
    try:
        wanted = b".".join(topology).decode("ascii")
    except UnicodeDecodeError:
        return None
    return Place(tree, namespace, service, zonal=word, topology_zone=wanted)
