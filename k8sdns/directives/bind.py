"""``bind``: the local addresses that a block listens on (CoreDNS plugin/bind)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import Context, Directive, arguments, options
from k8sdns.server import sockets


def _addresses(token: Token, _context: Context) -> tuple[str, ...]:
    """Return an address as it is, or all addresses of an interface, resolved now."""
    try:
        return (str(ipaddress.ip_address(token.text)),)
    except ValueError:
        pass
    found = sockets.interface_addresses().get(token.text)
    if not found:
        known = ", ".join(name for _, name in socket.if_nameindex())
        raise ValueError(
            f'not a valid IP address or interface name: "{token.text}"; the interfaces are {known}'
        )
    return tuple(found)


_PLACE = kinds.Kind(
    "ADDRESS|INTERFACE",
    "an IP address of this host or the name of an interface",
    _addresses,
    many=True,
)


@dataclass(frozen=True)
class Settings:
    """Listens on these addresses only, instead of on all of them."""

    addresses: tuple[str, ...] = arguments(
        _PLACE, least=1, help="Addresses, or interfaces whose addresses are taken at the start."
    )
    except_: tuple[str, ...] = options(_PLACE, help="Addresses or interfaces to leave out.")

    @property
    def listen_hosts(self) -> Sequence[str]:
        """The local addresses of the block, each once."""
        left_out = set(self.except_)
        return tuple(dict.fromkeys(host for host in self.addresses if host not in left_out))


DIRECTIVE = Directive(
    "bind",
    Settings,
    install=None,
    once=False,
    summary="Local addresses or interfaces to listen on.",
)
