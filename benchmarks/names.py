"""The names that are asked, and the cluster that holds them; the same for every server.

The cluster mix is what a cluster's pods ask: 45 % A of Services, 20 % AAAA that come out NODATA,
25 % NXDOMAIN of the search path, 5 % headless, 5 % SRV.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

SERVICES = 1000
NAMESPACES = 20
ZONE = "cluster.local"
HEADLESS_EVERY = 20  # one Service in so many is headless ...
ENDPOINTS = 3  # ... with so many endpoints


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


def write_manifests(path: Path, services: int = SERVICES) -> None:
    """Write the cluster as one JSON list, as ``kubectl get -o json`` would."""
    items: list[dict[str, object]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ns-{n}"}}
        for n in range(NAMESPACES)
    ]
    for number in range(services):
        items.extend(_objects(number))
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _objects(number: int) -> Iterator[dict[str, object]]:
    name, namespace = service(number)
    ip = "None" if is_headless(number) else cluster_ip(number)
    meta = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {
            "name": f"{name}-abc",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "ports": ports,
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}}
            for address in endpoint_ips(number)
        ],
    }


def write_mix(path: Path, count: int = 50_000, seed: int = 1) -> None:
    """Write the cluster mix as a dnsperf query file."""
    draw = random.Random(seed)
    plain = [n for n in range(SERVICES) if not is_headless(n)]
    headless = [n for n in range(SERVICES) if is_headless(n)]
    lines = []
    for _ in range(count):
        dice = draw.random()
        if dice < 0.45:
            lines.append(f"{name_of(draw.choice(plain))} A")
        elif dice < 0.65:
            lines.append(f"{name_of(draw.choice(plain))} AAAA")
        elif dice < 0.90:
            asked, own = name_of(draw.choice(plain)), draw.randrange(NAMESPACES)
            lines.append(f"{asked}.ns-{own}.svc.{ZONE} A")
        elif dice < 0.95:
            lines.append(f"{name_of(draw.choice(headless))} A")
        else:
            lines.append(f"_http._tcp.{name_of(draw.choice(plain))} SRV")
    path.write_text("\n".join(lines) + "\n")


def write_unique(path: Path, count: int = 400_000) -> None:
    """Write names of which none is asked twice: all NXDOMAIN."""
    lines = (f"u{n}.ns-{n % NAMESPACES}.svc.{ZONE} A" for n in range(count))
    path.write_text("\n".join(lines) + "\n")


def unbound_data(services: int = SERVICES) -> Iterator[str]:
    """Yield the same records as local-data of Unbound."""
    soa = f"{ZONE}. 5 IN SOA ns.dns.{ZONE}. hostmaster.{ZONE}. 1 7200 1800 86400 5"
    yield f'local-zone: "{ZONE}." static'
    yield f'local-data: "{soa}"'
    for number in range(services):
        name = name_of(number)
        for address in endpoint_ips(number) if is_headless(number) else [cluster_ip(number)]:
            yield f'local-data: "{name}. 5 IN A {address}"'
        if not is_headless(number):
            yield f'local-data: "_http._tcp.{name}. 5 IN SRV 0 100 80 {name}."'
