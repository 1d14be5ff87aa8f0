"""What a cluster's objects say should be answered: the truth that `churn` compares with.

Written from the DNS specification of Kubernetes (1.1.0) and not with the server's own code, so that
an error there is no error here. Forward zone ``cluster.local``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

Object = dict[str, Any]
Row = tuple[str, str, str, list[str]]
"""(name, type, RCODE, sorted records as text): one question and its whole answer."""

ZONE = "cluster.local."


def rows(
    services: Iterable[Object], slices: Iterable[Object], candidates: Iterable[tuple[str, str]]
) -> list[Row]:
    """Return the questions that prove a cluster, with their answers.

    `candidates` are the (namespace, name) of every Service that may exist: those that do not are
    asked for too, and are NXDOMAIN.
    """
    known = {_key(each): each for each in services}
    endpoints: dict[tuple[str, str], dict[str, str]] = {}
    for each in slices:
        service = each["metadata"]["labels"]["kubernetes.io/service-name"]
        found = endpoints.setdefault((each["metadata"]["namespace"], service), {})
        found.update(_ready(each))
    made = []
    for key in candidates:
        if key in known:
            made += _service(key, known[key]["spec"], endpoints.get(key, {}))
        else:
            made += [(_name(key), "A", "NXDOMAIN", []), (_name(key), "SRV", "NXDOMAIN", [])]
    return made


def _service(key: tuple[str, str], spec: Object, ready: dict[str, str]) -> Iterator[Row]:
    name = _name(key)
    if spec["type"] == "ExternalName":
        yield name, "CNAME", "NOERROR", [spec["externalName"] + "."]
        return
    for address, host in ready.items():
        yield f"{host}.{name}", "A", "NOERROR", [address]
    if spec["clusterIP"] == "None":
        yield from _headless(name, ready)
        return
    families: dict[int, list[str]] = {4: [], 6: []}
    for address in spec["clusterIPs"]:
        families[ip_address(address).version].append(str(ip_address(address)))
        yield _pointer(address), "PTR", "NOERROR", [name]
    yield name, "A", "NOERROR", families[4]
    yield name, "AAAA", "NOERROR", families[6]
    weight = 100 // len(spec["clusterIPs"])  # shared out among addresses, as CoreDNS does
    for port in spec["ports"]:
        owner = f"_{port['name']}._tcp.{name}"
        yield owner, "SRV", "NOERROR", [f"0 {weight} {port['port']} {name}"]


def _headless(name: str, ready: dict[str, str]) -> Iterator[Row]:
    yield name, "A", "NOERROR" if ready else "NXDOMAIN", sorted(ready)
    for address, host in ready.items():
        yield _pointer(address), "PTR", "NOERROR", [f"{host}.{name}"]


def transferred(made: Iterable[Row]) -> set[tuple[str, str]]:
    """Return the (name, address) pairs that a transfer has at least: those of every Service."""
    return {
        (name, address)
        for name, qtype, _, found in made
        if qtype == "A" and name.count(".") == ZONE.count(".") + 3
        for address in found
    }


def _ready(of: Object) -> Iterator[tuple[str, str]]:
    for each in of["endpoints"] or ():
        if each["conditions"].get("ready") is not False:
            for address in each["addresses"]:
                yield address, each.get("hostname") or address.replace(".", "-")


def _key(thing: Object) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def _name(key: tuple[str, str]) -> str:
    return f"{key[1]}.{key[0]}.svc.{ZONE}"


def _pointer(address: str) -> str:
    return ip_address(address).reverse_pointer + "."
