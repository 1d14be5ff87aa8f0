"""The names that are asked, and the cluster that holds them; the same for every server.

The cluster mix is what a cluster's pods ask: 45 % A of Services, 20 % AAAA that come out NODATA,
25 % NXDOMAIN of the search path, 5 % headless, 5 % SRV. Outside names are below `OUTSIDE`, all of
which the upstream knows.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

SERVICES = 1000
NAMESPACES = 20
ZONE = "cluster.local"
HEADLESS_EVERY = 20  # one Service in so many is headless ...
ENDPOINTS = 3  # ... with so many endpoints
CROWDS = (3, 20, 100)  # endpoints of the Services that are asked for by size ...
CROWD_SERVICES = 10  # ... of which there are so many
OUTSIDE = "outside.example"
OUTSIDE_ADDRESS = "192.0.2.1"
CACHED = 1000  # outside names that are asked again and again
LISTED = "listed.example"  # outside names that Unbound has one by one ...
LISTED_NAMES = 60_000  # ... so many a round, ...
LISTED_ROUNDS = 7  # ... others in each, for each server: a prime above the number of servers


def service(number: int) -> tuple[str, str]:
    """Return (name, namespace) of a Service."""
    return f"svc-{number}", f"ns-{number % NAMESPACES}"


def name_of(number: int) -> str:
    """Return the DNS name of a Service, without the final dot."""
    name, namespace = service(number)
    return f"{name}.{namespace}.svc.{ZONE}"


def is_headless(number: int) -> bool:
    """Tell whether a Service is headless."""
    return number % HEADLESS_EVERY == 0


def cluster_ip(number: int) -> str:
    """Return a Service's cluster IP."""
    return f"10.96.{number >> 8}.{number & 255}"


def endpoint_ips(number: int) -> list[str]:
    """Return the addresses of a headless Service's endpoints."""
    return [f"10.{128 + n}.{number >> 8}.{number & 255}" for n in range(ENDPOINTS)]


def crowd_name(size: int, number: int) -> str:
    """Return the DNS name of a headless Service with `size` endpoints."""
    return f"crowd-{size}-{number}.ns-0.svc.{ZONE}"


def crowd_ips(size: int, number: int) -> list[str]:
    """Return the addresses of its endpoints."""
    return [f"10.{200 + number}.{size}.{n + 1}" for n in range(size)]


def addresses() -> Iterator[tuple[str, list[str]]]:
    """Yield every name of the cluster that has addresses, and those."""
    for number in range(SERVICES):
        yield name_of(number), endpoint_ips(number) if is_headless(number) else [cluster_ip(number)]
    for size, number in itertools.product(CROWDS, range(CROWD_SERVICES)):
        yield crowd_name(size, number), crowd_ips(size, number)


def ports() -> Iterator[str]:
    """Yield the names that have an SRV record: port 80 of the name behind the labels."""
    return (f"_http._tcp.{name_of(n)}" for n in range(SERVICES) if not is_headless(n))


# -- the cluster, as its API server tells it ----------------------------------------------------


def objects() -> Iterator[dict[str, object]]:
    """Yield the cluster's objects."""
    for number in range(NAMESPACES):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{number}"}}
    for number in range(SERVICES):
        name, namespace = service(number)
        ip = "None" if is_headless(number) else cluster_ip(number)
        yield _service(name, namespace, ip)
        yield endpoint_slice(name, namespace, endpoint_ips(number))
    for size, number in itertools.product(CROWDS, range(CROWD_SERVICES)):
        name = f"crowd-{size}-{number}"
        yield _service(name, "ns-0", "None")
        yield endpoint_slice(name, "ns-0", crowd_ips(size, number))


_PORTS = [{"name": "http", "port": 80, "protocol": "TCP"}]


def _service(name: str, namespace: str, ip: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": _PORTS},
    }


def endpoint_slice(name: str, namespace: str, ips: Iterable[str]) -> dict[str, object]:
    """Return the EndpointSlice of a Service."""
    labels = {"kubernetes.io/service-name": name}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {"name": f"{name}-abc", "namespace": namespace, "labels": labels},
        "ports": _PORTS,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
    }


def write_manifests(path: Path) -> None:
    """Write the cluster as one JSON list, as ``kubectl get -o json`` would."""
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects())}))


# -- questions, as lines of a dnsperf query file ---------------------------------------------------


def mix(count: int = 50_000, seed: int = 1) -> Iterator[str]:
    """Yield the cluster mix."""
    draw = random.Random(seed)
    plain = [n for n in range(SERVICES) if not is_headless(n)]
    headless = [n for n in range(SERVICES) if is_headless(n)]
    for _ in range(count):
        dice = draw.random()
        if dice < 0.45:
            yield f"{name_of(draw.choice(plain))} A"
        elif dice < 0.65:
            yield f"{name_of(draw.choice(plain))} AAAA"
        elif dice < 0.90:
            asked, own = name_of(draw.choice(plain)), draw.randrange(NAMESPACES)
            yield f"{asked}.ns-{own}.svc.{ZONE} A"
        elif dice < 0.95:
            yield f"{name_of(draw.choice(headless))} A"
        else:
            yield f"_http._tcp.{name_of(draw.choice(plain))} SRV"


_numbers = itertools.count()


def unique(count: int = 300_000) -> Iterator[str]:
    """Yield missing names of the cluster, none of which was ever asked before."""
    first = next(_numbers) * count
    return (f"u{n}.ns-{n % NAMESPACES}.svc.{ZONE} A" for n in range(first, first + count))


def uncached(count: int = 300_000) -> Iterator[str]:
    """Yield outside names, none of which was ever asked before."""
    first = next(_numbers) * count
    return (f"u{n}.{OUTSIDE} A" for n in range(first, first + count))


def listed_name(number: int) -> str:
    """Return one of the outside names that Unbound has one by one."""
    return f"u{number}.{LISTED}"


_windows = itertools.cycle(range(LISTED_ROUNDS))


def listed() -> Iterator[str]:
    """Yield outside names that a server was last asked for seven of its rounds ago, or never.

    No cache of 10,000 names has them still, whose server manages as many in all that time.
    """
    first = next(_windows) * LISTED_NAMES
    return (f"{listed_name(n)} A" for n in range(first, first + LISTED_NAMES))


def cached() -> Iterator[str]:
    """Yield the outside names that are asked again and again."""
    return (f"h{n}.{OUTSIDE} A" for n in range(CACHED))


def crowd(size: int) -> Iterator[str]:
    """Yield the headless Services of one size."""
    return (f"{crowd_name(size, n)} A" for n in range(CROWD_SERVICES))
