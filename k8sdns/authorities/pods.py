"""Pod names ``<dashed address>.<namespace>.pod``: off, read from the name, or checked.

Owns: the three modes of CoreDNS's option ``pods``. Refuses to know zones and namespaces' exposure.
"""

from __future__ import annotations

from typing import Final

from k8sdns import names
from k8sdns.authorities.backends import Backend
from k8sdns.authorities.endpoints import undashed
from k8sdns.authorities.schema import POD_TREE, Place
from k8sdns.cluster.store import Store

DISABLED: Final = "disabled"
VERIFIED: Final = "verified"
PORT: Final = 0  # pods have no ports here; CoreDNS says 0 in their SRV records


def pod_backends(store: Store, place: Place, mode: str) -> tuple[Backend, ...]:
    """Return the pod that a name of the pod tree stands for; () if there is none.

    Verified means that a Pod of the namespace has an address of exactly this spelling; insecure
    takes the client's word for it. Labels left of the pod's are ignored (CoreDNS).
    """
    address = undashed(place.service)
    if address is None:
        return ()
    if mode == VERIFIED and store.pod_by_ip(place.namespace.decode("utf-8"), address) is None:
        return ()
    owner = names.from_labels((place.service, place.namespace, POD_TREE))[:-1]
    return (Backend(owner, address, PORT, b"", b""),)
