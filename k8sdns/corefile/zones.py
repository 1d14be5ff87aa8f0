"""Keys and zone arguments: scheme, zone, port; address ranges as reverse zones; who collides.

Owns: what the text of a key means, and which blocks cannot live side by side. Refuses to know
listeners and routing.

The rules are CoreDNS's (core/dnsserver/register.go, core/dnsserver/address.go and
plugin/normalize.go).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from k8sdns import names
from k8sdns.corefile.parser import Key
from k8sdns.errors import CorefileError

# The port of a key that names none; plain DNS follows the command line instead.
DEFAULT_PORTS = {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}

_RANGE = re.compile(r"[0-9A-Fa-f.:]+/[0-9]{1,3}")
_INTEGER = re.compile(r"[+-]?[0-9]+")


class BadZone(ValueError):
    """Text that is no zone, with or without scheme and port; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Address:
    """One zone on one port: `zone` in wire form, `scheme` a key of `DEFAULT_PORTS`."""

    scheme: str
    zone: bytes
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{names.to_text(self.zone)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Claim:
    """An address that a block asks for, on the local address `bind` (empty: on all of them)."""

    address: Address
    bind: str
    has_view: bool
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.address} on {self.bind}" if self.bind else str(self.address)


def addresses(text: str, dns_port: int = DEFAULT_PORTS["dns"]) -> tuple[Address, ...]:
    """Return what the key `text` asks for; an address range can come to several zones.

    `dns_port` is the port of plain DNS without a port. Raises `BadZone`.
    """
    scheme, rest = _split_scheme(text)
    found, port = _split_port(rest)
    if port is None:
        port = dns_port if scheme == "dns" else DEFAULT_PORTS[scheme]
    return tuple(Address(scheme, zone, port) for zone in found)


def zones(text: str) -> tuple[bytes, ...]:
    """Return the zones of an argument of a directive, scheme and port ignored; raises `BadZone`."""
    return _split_port(_split_scheme(text)[1])[0]


def key_addresses(key: Key, dns_port: int = DEFAULT_PORTS["dns"]) -> tuple[Address, ...]:
    """Return `addresses` of a key as written; raises `CorefileError` with its place."""
    try:
        return addresses(key.text, dns_port)
    except BadZone as error:
        message = f"error inspecting server blocks: {error}"
        raise CorefileError(message, key.file, key.line) from error


def check_overlaps(claims: Iterable[Claim]) -> None:
    """Raise `CorefileError` for the first claim that an earlier one rules out.

    The same zone, scheme, port and local address twice is refused, and so is one of them on all
    local addresses beside one on a single address. Blocks with a `view` may repeat an address.
    """
    exact: dict[tuple[Address, str], Claim] = {}
    holders: dict[Address, Claim] = {}
    for claim in claims:
        address, bind = claim.address, claim.bind
        same = exact.get((address, bind))
        if same is not None and not claim.has_view:
            raise _refusal(
                claim,
                f"cannot serve {claim} - it is already defined ({_place(same)}); "
                "remove one of the two, or give them different ports or bind addresses",
            )
        holder = holders.get(address)
        if holder is not None and (not bind) != (not holder.bind):
            raise _refusal(
                claim,
                f"cannot serve {claim} - zone overlap listener capacity with {holder} "
                f"({_place(holder)}); bind both or neither",
            )
        if not claim.has_view:
            exact[address, bind] = claim
            holders[address] = claim


def _refusal(claim: Claim, message: str) -> CorefileError:
    return CorefileError(message, claim.file, claim.line)


def _place(claim: Claim) -> str:
    return f"{claim.file}:{claim.line}"


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    # What is no scheme stays part of the zone, as in CoreDNS.
    return (scheme, rest) if separator and scheme in DEFAULT_PORTS else ("dns", text)


def _split_port(text: str) -> tuple[tuple[bytes, ...], int | None]:
    zone, separator, digits = text.rpartition(":")
    if separator and not digits:
        raise BadZone(f'expecting data after last colon: "{text}"')
    if not separator or not _INTEGER.fullmatch(digits):
        return _zones_of(text), None
    if len(digits) > 20 or not 0 <= int(digits) <= 65535:
        raise BadZone(f"port {digits[:20]} of '{text[:300]}' is not between 0 and 65535")
    return _zones_of(zone), int(digits)


def _zones_of(text: str) -> tuple[bytes, ...]:
    octets = len(text.encode("utf-8", "surrogateescape"))
    if octets > names.MAX_NAME_OCTETS:
        raise BadZone(f"specified zone is too long: {octets} > {names.MAX_NAME_OCTETS}")
    network = _network(text)
    if network is not None:
        return _reverse_zones(network)
    try:
        return (names.from_text(text),)
    except (names.BadName, UnicodeError) as error:
        why = f"{error}{_remedy(text)}"
        raise BadZone(f"zone is not a valid domain name: {text} ({why})") from error


def _remedy(text: str) -> str:
    if not text:
        return "; the root is '.'"
    if text.endswith("{"):
        return "; put a space before '{'"
    return "; a port is a number" if ":" in text else ""


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not _RANGE.fullmatch(text):
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    if text[0] == ":" or (text[0] == "0" and ":" in text):
        raise BadZone(f"invalid CIDR {text}")
    return network


def _reverse_zones(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> tuple[bytes, ...]:
    """Return the reverse zones of `network`, cut at the next longer label (RFC 1035 §3.5)."""
    bits_a_label = 8 if network.version == 4 else 4
    prefix = -(-network.prefixlen // bits_a_label) * bits_a_label
    host_labels = (network.max_prefixlen - prefix) // bits_a_label
    return tuple(
        names.from_labels(names.labels_of(names.reverse_name(str(part[0])))[host_labels:])
        for part in network.subnets(new_prefix=prefix)
    )
