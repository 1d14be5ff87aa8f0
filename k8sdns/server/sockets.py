"""Sockets: which addresses a listener opens, and opening them with errors that say what to do.

Owns socket options and the words of bind errors. Sockets are made here rather than by the
reactor so that they can be bound before privileges are dropped, survive a reload and be handed
to worker processes.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from k8sdns.errors import ConfigurationError

RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024  # room for 100 ms of 80,000 queries a second
BACKLOG = 1024

_SIOCGIFADDR = 0x8915  # linux/sockios.h
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_IP_PKTINFO = 8  # linux/in.h; the socket module has no name for it before Python 3.12


class ListenAddress(NamedTuple):
    """One address to listen on; `host` "" is every address of `family`."""

    family: socket.AddressFamily
    host: str
    port: int
    is_dual_stack: bool = False  # an IPv6 wildcard that takes IPv4 too

    def __str__(self) -> str:
        host = self.host or ("[::]" if self.family == socket.AF_INET6 else "0.0.0.0")  # noqa: S104
        return (
            f"[{host}]:{self.port}"
            if ":" in host.strip("[]") and "[" not in host
            else f"{host}:{self.port}"
        )


def addresses(host: str, port: int) -> list[ListenAddress]:
    """Return what to open for a bind address; "" is every address of both families."""
    if not host:
        found = [ListenAddress(socket.AF_INET, "", port)]
        if has_ipv6():
            found.append(ListenAddress(socket.AF_INET6, "", port))
        return found
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return [ListenAddress(socket.AF_INET, host, port)]
    return [ListenAddress(socket.AF_INET6, host, port, is_dual_stack=address.is_unspecified)]


def has_ipv6() -> bool:
    """Tell whether this host can open IPv6 sockets at all."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def open_datagram(address: ListenAddress, *, is_shared: bool = False) -> socket.socket:
    """Return a bound UDP socket; raises ConfigurationError with the remedy.

    `is_shared` lets it bind beside another socket of ours that shares its port.
    """
    sock = _socket(address, socket.SOCK_DGRAM, is_shared)
    make_room(sock)
    return _bound(sock, address, "udp")


def make_room(sock: socket.socket) -> None:
    """Give a socket the receive buffer that we want, or as much of it as we may.

    With CAP_NET_ADMIN the kernel grants it all (socket(7)), else up to net.core.rmem_max, which
    holds some 500 queries where nobody has raised it.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)


def open_stream(address: ListenAddress, *, is_shared: bool = False) -> socket.socket:
    """Return a listening TCP socket; raises ConfigurationError with the remedy."""
    sock = _socket(address, socket.SOCK_STREAM, is_shared)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bound(sock, address, "tcp")
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(error, address, "tcp") from None
    return sock


def open_streams(host: str, port: int) -> list[socket.socket]:
    """Return listening TCP sockets for ``HOST:PORT``: "" is every address of both families.

    ``localhost`` is the loopback address of each family. Other names are refused: looking one up
    might depend on our own answers. Raises ConfigurationError and leaves nothing open.
    """
    opened: list[socket.socket] = []
    try:
        for address in _stream_addresses(host, port):
            opened.append(open_stream(address))
    except Exception:
        for sock in opened:
            sock.close()
        raise
    return opened


def _stream_addresses(host: str, port: int) -> list[ListenAddress]:
    if host == "localhost":
        loopback = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]
        return [address for each in loopback for address in addresses(each, port)]
    try:
        return addresses(host, port)
    except ValueError:
        raise ConfigurationError(
            f"cannot listen on '{host}': write an IP address, localhost, or :{port} for all"
        ) from None


def _socket(address: ListenAddress, kind: socket.SocketKind, is_shared: bool) -> socket.socket:
    sock = socket.socket(address.family, kind)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
    if address.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not address.is_dual_stack)
    return sock


def _bound(sock: socket.socket, address: ListenAddress, protocol: str) -> socket.socket:
    host = address.host
    try:
        if "%" in host:
            sock.bind(socket.getaddrinfo(host, address.port, type=sock.type)[0][4])
        else:
            sock.bind((host, address.port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise _cannot_listen(error, address, protocol) from None
    return sock


def _cannot_listen(error: Exception, address: ListenAddress, protocol: str) -> ConfigurationError:
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number else str(error)
    remedy = _remedies().get(number or 0, "")
    hint = f" ({remedy})" if remedy else ""
    return ConfigurationError(f"cannot listen on {protocol} {address}: {reason}{hint}")


def _remedies() -> dict[int, str]:
    return {
        errno.EACCES: "ports below 1024 need root or CAP_NET_BIND_SERVICE; or use --port 1053",
        errno.EADDRINUSE: "another server listens there: stop it, or choose another port or `bind`",
        errno.EADDRNOTAVAIL: "no interface of this host has that address: see `bind`",
    }


def receive_buffer(sock: socket.socket) -> int:
    """Return the effective receive buffer in octets, as the kernel granted it."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def needs_source_address(address: ListenAddress) -> bool:
    """Tell whether replies of a wildcard socket could leave from an address that was not asked.

    With one address besides loopback the kernel chooses right by itself, and the plain path is
    faster.
    """
    return not address.host.strip(":") and len(own_addresses(address)) > 1


def own_addresses(address: ListenAddress) -> set[str]:
    """Return the host's addresses, loopback and link-local ones left out, of an address' family."""
    found = _ipv6_addresses() if address.family == socket.AF_INET6 else set()
    if address.family == socket.AF_INET or address.is_dual_stack:
        found |= _ipv4_addresses()
    return found


def all_own_addresses() -> set[str]:
    """Return the host's addresses of both families, loopback and link-local ones left out."""
    return _ipv4_addresses() | _ipv6_addresses()


def _ipv4_addresses() -> set[str]:
    """Read the kernel's table of local IPv4 addresses: an address line, then ``/32 host LOCAL``."""
    found = set()
    last = ""
    for line in _lines("/proc/net/fib_trie"):
        words = line.split()
        if words[:1] == ["|--"]:
            last = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and not last.startswith("127."):
            found.add(last)
    return found


def _ipv6_addresses() -> set[str]:
    found = set()
    for line in _lines("/proc/net/if_inet6"):
        address = ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
        if not address.is_loopback and not address.is_link_local:
            found.add(str(address))
    return found


def interface_addresses() -> dict[str, list[str]]:
    """Return every interface's addresses by its name; link-local IPv6 ones with their scope."""
    found: dict[str, list[str]] = {}
    for _, name in socket.if_nameindex():
        address = _ipv4_address_of(name)
        if address:
            found.setdefault(name, []).append(address)
    for line in _lines("/proc/net/if_inet6"):
        octets, *_, name = line.split()
        six = ipaddress.IPv6Address(bytes.fromhex(octets))
        found.setdefault(name, []).append(f"{six}%{name}" if six.is_link_local else str(six))
    return found


def _ipv4_address_of(interface: str) -> str:
    """Ask the kernel for the first IPv4 address of an interface (netdevice(7), SIOCGIFADDR)."""
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            reply = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
    return socket.inet_ntoa(reply[20:24])


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def ask_for_destination(sock: socket.socket) -> None:
    """Have the kernel tell with each datagram which of our addresses it was sent to."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def reply_from(control: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Turn a datagram's destination into the source of its reply (ip(7), RFC 3542 §6)."""
    for level, kind, octets in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # in_pktinfo: interface, local address for routing, destination of the packet.
            return [(level, kind, bytes(4) + octets[8:12] + bytes(4))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return [(level, kind, octets)]
    return []


def destination(control: list[tuple[int, int, bytes]]) -> str:
    """Return the address a datagram was sent to, "" if the kernel did not say."""
    for level, kind, octets in control:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return str(ipaddress.IPv4Address(octets[8:12]))
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return str(ipaddress.IPv6Address(octets[:16]))
    return ""
