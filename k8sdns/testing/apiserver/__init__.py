"""A faithful Kubernetes API server for tests: list, watch and write, and every way to fail.

It keeps objects in memory and nothing runs behind it: no scheduler, no controllers (but see
`controllers`). What it says
on the wire is what a kube-apiserver 1.36 says; `tests/testing/test_conformity.py` asks both.

    server = FakeApiServer(reactor)
    server.load("examples/manifests")
    server.listen()                                  # server.url
    server.apply({...}); server.delete("Service", "shop", "web")
    server.compact(); server.disconnect("reset"); server.faults.too_many_requests(retry_after=1)

Reading order: resources, storage, options, listing, watching; then writing, site, server.
"""

from k8sdns.testing.apiserver.access import Access
from k8sdns.testing.apiserver.faults import Fault, Faults
from k8sdns.testing.apiserver.requestlog import RequestLog, Seen
from k8sdns.testing.apiserver.server import FakeApiServer
from k8sdns.testing.apiserver.statuses import ApiError
from k8sdns.testing.apiserver.tls import Authority
from k8sdns.testing.apiserver.watching import WatchConduct

__all__ = [
    "Access",
    "ApiError",
    "Authority",
    "FakeApiServer",
    "Fault",
    "Faults",
    "RequestLog",
    "Seen",
    "WatchConduct",
]
