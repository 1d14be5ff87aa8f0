"""A faithful Kubernetes API server for tests: list, watch and write, and every way to fail.

It keeps objects in memory and nothing runs behind it: no scheduler, no controllers (but see
`controllers`). What it says on the wire is what a kube-apiserver 1.36 says;
`tests/testing/test_conformity.py` asks both.

    server = FakeApiServer(reactor)
    server.load("examples/manifests")
    server.listen()                                  # server.url
    server.apply({...}); server.delete("Service", "shop", "web")
    server.compact(); server.disconnect("reset"); server.faults.too_many_requests(retry_after=1)

Reading order: resources, storage, options, listing, watching; then shapes, validation, admission,
writing, site, server.

Where it is not a kube-apiserver, on purpose:

- Only Services and EndpointSlices are typed, checked and written as Go writes them. Other kinds are
  stored as they come: Pods get no defaults.
- Cluster IPs of any range are taken, since a cluster's range is its own; those it gives out are of
  10.96.0.0/16 and fd00:10:96::/112.
- The history is not compacted by time: a list at an old version finds it, where etcd says 410.
- Field managers conflict in server-side apply only with others that applied.
- JSON and YAML, no protobuf. Bodies that are no JSON get a 400 with a text of our own, and so do
  values of a wrong type; Tables have no descriptions of their columns.
- With no credentials registered it believes everybody, those with a wrong token too.
- No Warning, Cache-Control, Audit-Id and flow control headers.
- `apply`, `load` and POST /_ctl/apply check nothing, for tests with what older servers let in.
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
