"""The names of endpoints below their Service, and addresses as octets.

Owns: how an endpoint without a host name is called. Refuses to know zones and questions.
"""

from __future__ import annotations

import socket

from k8sdns import records
from k8sdns.cluster.model import Endpoint

MAX_LABEL_OCTETS = 63


def endpoint_label(endpoint: Endpoint, *, pod_names: bool = False) -> bytes:
    """Return the lower-case label of an endpoint.

    Its hostname (Kubernetes DNS specification §2.4.1), else with `pod_names` its pod's name, else
    its dashed address; an IPv6 address that ends in ``::`` gets a final 0, since no host name
    ends in a hyphen (CoreDNS).
    """
    if endpoint.hostname:
        name = endpoint.hostname
    elif pod_names and 0 < len(endpoint.target) <= MAX_LABEL_OCTETS:
        name = endpoint.target
    else:
        name = dashed(endpoint.address)
    return name.lower().encode("utf-8")


def dashed(address: str) -> str:
    """Return an address as a label: dots and colons become hyphens."""
    if ":" not in address:
        return address.replace(".", "-")
    label = address.replace(":", "-")
    return label + "0" if label.endswith("-") else label


def undashed(label: bytes) -> str | None:
    """Return the address text that the label of a pod name stands for, or None if it is no address.

    Three single hyphens make it IPv4, anything else IPv6 (CoreDNS).
    """
    try:
        text = label.decode("ascii")
    except UnicodeDecodeError:
        return None
    is_v4 = text.count("-") == 3 and "--" not in text
    address = text.replace("-", "." if is_v4 else ":")
    return address if octets_of(address) is not None else None


def octets_of(address: str) -> bytes | None:
    """Return the 4 or 16 octets of an address in text, None if it is none."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
    except (OSError, ValueError):
        return None


def is_of_type(address: str, qtype: int) -> bool:
    """Tell whether an address in text belongs into records of `qtype`, A or AAAA."""
    return (":" in address) is (qtype == records.AAAA)
