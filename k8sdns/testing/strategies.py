"""Hypothesis strategies of the field: names, records, small clusters.

Owns what is worth drawing. Needs hypothesis, which is no dependency of the server. A cluster's
pools of names are small on purpose: objects that have nothing to do with one another try nothing.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from k8sdns import names, records as rr
from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Pod, Port, Service, Thing
from k8sdns.records import Record

Strategy = st.SearchStrategy

NAMESPACES: Final = ("default", "svc", "gone")
SERVICES: Final = ("web", "db", "svc")
ADDRESSES: Final = ("10.0.0.1", "10.0.0.2", "fd00::1", "fd00:0:1::")
HOSTNAMES: Final = ("", "", "db-0", "web")
_SERVICE_KINDS: Final[tuple[tuple[str, tuple[str, ...], str], ...]] = (
    ("ClusterIP", ("10.96.0.1",), ""),
    ("ClusterIP", ("fd00::2", "10.96.0.2"), ""),
    ("ClusterIP", ("None",), ""),
    ("ClusterIP", ("None",), ""),
    ("ExternalName", (), "outside.example"),
    ("ExternalName", (), "10.9.9.9"),
)


def wire_names() -> Strategy[bytes]:
    """Names of one to five labels of any octets, as wire names with their letters as they fell."""
    labels = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=5)
    return labels.map(names.from_labels)


def rdata(rtype: int) -> Strategy[bytes]:
    """Octets that are the rdata of a type; of a type that is not known here any octets."""
    known: dict[int, Strategy[Any]] = {
        rr.A: st.binary(min_size=4, max_size=4),
        rr.AAAA: st.binary(min_size=16, max_size=16),
        rr.CNAME: wire_names(),
        rr.MX: _joined(st.binary(min_size=2, max_size=2), wire_names()),
        rr.SRV: _joined(st.binary(min_size=6, max_size=6), wire_names()),
        rr.SOA: _joined(wire_names(), wire_names(), st.binary(min_size=20, max_size=20)),
    }
    return known.get(rtype, st.binary(max_size=40))


def _joined(*parts: Strategy[bytes]) -> Strategy[bytes]:
    return st.tuples(*parts).map(b"".join)


def resource_records() -> Strategy[Record]:
    """Records of class IN of the types whose rdata holds names, addresses, or nobody knows what."""
    types = st.sampled_from([rr.A, rr.AAAA, rr.CNAME, rr.MX, rr.SRV, rr.SOA, 65280])
    ttl = st.integers(0, 2**31 - 1)
    return types.flatmap(
        lambda rtype: st.builds(
            Record, wire_names(), st.just(rtype), ttl, rdata(rtype), st.just(rr.IN)
        )
    )


def sections() -> Strategy[tuple[Record, ...]]:
    """A message's section of up to six records."""
    return st.lists(resource_records(), max_size=6).map(tuple)


def ports() -> Strategy[tuple[Port, ...]]:
    """The ports of a Service or slice; the sentinel of a Service without ports among them."""
    port = st.builds(
        Port,
        st.sampled_from(["", "http", "dns"]),
        st.sampled_from([80, 53]),
        st.sampled_from(["TCP", "UDP"]),
    )
    some = st.lists(port, min_size=1, max_size=2).map(tuple)
    return some | st.just((Port("", -1, ""),))


def _placed() -> Strategy[str]:
    return st.sampled_from(["default", "default", "default", "svc", "gone"])


def services() -> Strategy[Service]:
    """Services of every kind, most of them in one namespace."""
    return st.builds(
        _service,
        _placed(),
        st.sampled_from(SERVICES),
        st.sampled_from(_SERVICE_KINDS),
        st.sampled_from(["1", "2"]),
        ports(),
    )


def _service(
    namespace: str,
    name: str,
    kind: tuple[str, tuple[str, ...], str],
    version: str,
    some: tuple[Port, ...],
) -> Service:
    type_, cluster_ips, external_name = kind
    return Service(namespace, name, version, type_, cluster_ips, external_name, some, ())


def slices() -> Strategy[EndpointSlice]:
    """EndpointSlices, up to three of a Service, with up to three ready endpoints."""
    endpoint = st.builds(
        Endpoint,
        st.sampled_from(ADDRESSES),
        st.sampled_from(HOSTNAMES),
        st.sampled_from(["", "pod-x"]),
        st.just(""),
        st.just(""),
    )
    return st.builds(
        EndpointSlice,
        _placed(),
        st.sampled_from(["s1", "s2", "s3"]),
        st.sampled_from(SERVICES),
        st.just("1"),
        ports(),
        st.lists(endpoint, max_size=3).map(tuple),
        st.none(),
    )


def pods() -> Strategy[Pod]:
    """Pods, also in namespaces that do not exist."""
    return st.builds(
        Pod,
        st.sampled_from(NAMESPACES),
        st.sampled_from(["p1", "p2"]),
        st.just("1"),
        st.sampled_from(ADDRESSES),
    )


def clusters() -> Strategy[list[Thing]]:
    """The objects of a small cluster, in no particular order; a name may come twice."""
    more = st.builds(Namespace, st.sampled_from(NAMESPACES[:2]), st.just("1"))
    return st.builds(
        lambda *parts: [thing for part in parts for thing in part],
        st.lists(more, max_size=2).map(lambda found: [Namespace("default", "1"), *found]),
        st.lists(services(), min_size=1, max_size=5),
        st.lists(slices(), min_size=1, max_size=5),
        st.lists(pods(), max_size=2),
    )
