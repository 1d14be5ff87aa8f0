"""Equal parts of objects, kept once: names of namespaces, nodes and zones, lists of ports.

Owns how objects that come in octets from another process of ours become small: decoding makes
every string anew, and ten thousand Services of a cluster have a handful of lists of ports.
"""

from __future__ import annotations

from sys import intern
from typing import Final

from k8sdns.cluster.model import Endpoint, EndpointSlice, Namespace, Pod, Port, Service, Thing

MAX_PORTS: Final = 10_000  # lists of ports that are remembered, before all are forgotten

_ports: dict[tuple[Port, ...], tuple[Port, ...]] = {}


def shared(thing: Thing) -> Thing:
    """Return an equal object whose parts are shared with others; its version is forgotten.

    Versions are for those who watch.
    """
    if isinstance(thing, EndpointSlice):
        return EndpointSlice(
            intern(thing.namespace),
            thing.name,
            intern(thing.service),
            "",
            _shared_ports(thing.ports),
            tuple(map(_shared_endpoint, thing.endpoints)),
            thing.triggered_at,
        )
    if isinstance(thing, Service):
        return Service(
            intern(thing.namespace),
            intern(thing.name),
            "",
            intern(thing.type),
            thing.cluster_ips,
            thing.external_name,
            _shared_ports(thing.ports),
            thing.external_ips,
            thing.has_selector,
        )
    if isinstance(thing, Pod):
        return Pod(intern(thing.namespace), thing.name, "", thing.ip)
    return Namespace(intern(thing.name), "")


def _shared_endpoint(endpoint: Endpoint) -> Endpoint:
    return Endpoint(
        endpoint.address,
        endpoint.hostname,
        endpoint.target,
        intern(endpoint.node),
        intern(endpoint.zone),
    )


def _shared_ports(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    known = _ports.get(ports)
    if known is None:
        if len(_ports) >= MAX_PORTS:
            _ports.clear()
        known = _ports[ports] = ports
    return known
