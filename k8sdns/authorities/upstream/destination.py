"""Where an upstream is: a destination as a Corefile spells it, taken apart.

Owns the spellings of TO (CoreDNS plugin/pkg/parse). Refuses to know files and host names: those
become destinations elsewhere.
"""

from __future__ import annotations

import ipaddress
from typing import Literal, NamedTuple, TypeAlias

from k8sdns.errors import K8sDNSError

Scheme: TypeAlias = Literal["dns", "tls"]
DEFAULT_PORTS: dict[str, int] = {"dns": 53, "tls": 853}
_REFUSED = {
    "grpc": "gRPC",
    "quic": "DNS over QUIC",
    "https": "DNS over HTTPS",
    "https3": "DNS over HTTP/3",
    "unix": "a Unix socket",
}


class BadDestination(K8sDNSError):
    """Text that names no upstream; the message says what would."""


class Destination(NamedTuple):
    """Address, port and transport of an upstream; `server_name` is what its certificate names."""

    host: str  # an address; an IPv6 scope stays in it (``fe80::1%eth0``)
    port: int
    scheme: Scheme = "dns"
    server_name: str = ""

    def __str__(self) -> str:
        """Return ``address:port`` as the `to` label of metrics has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_tls(self) -> bool:
        return self.scheme == "tls"


def parse(text: str) -> Destination | None:
    """Return the Destination of `text`, or None where it is no address (a file, a host name).

    Raises `BadDestination` for a transport that is not spoken and for a bad port.
    """
    scheme, has_scheme, rest = text.partition("://")
    if not has_scheme:
        scheme, rest = "dns", text
    if scheme in _REFUSED:
        raise BadDestination(
            f"'{scheme}' is not supported as a destination protocol: {text} "
            f"({_REFUSED[scheme]} to upstreams is not built; use dns:// or tls://)"
        )
    if scheme not in DEFAULT_PORTS:
        raise BadDestination(f"unknown destination protocol in {text!r}: use dns:// or tls://")
    address, port = split_port(rest, DEFAULT_PORTS[scheme])
    address, _, after = address.partition("%")
    if not _is_address(address):
        return None
    if scheme == "tls":
        return Destination(_canonical(address), port, "tls", after)
    return Destination(_canonical(address) + (f"%{after}" if after else ""), port, "dns")


def split_port(text: str, default: int) -> tuple[str, int]:
    """Return the host of a spelling without its scheme, ``%NAME`` included, and the port."""
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise BadDestination(f"{text!r} is no [address]:port")
        return address, _port(rest[1:], text) if rest else default
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        # A host name with a port is left whole for the caller to understand.
        return address, _port(port, text)
    address, percent, after = text.partition("%")
    if percent and ":" not in address and ":" in after:
        name, _, port = after.partition(":")
        return f"{address}%{name}", _port(port, text)
    return text, default


def _port(text: str, whole: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 0xFFFF:
        raise BadDestination(f"{whole!r} has no port between 1 and 65535")
    return int(text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _canonical(address: str) -> str:
    return str(ipaddress.ip_address(address))
