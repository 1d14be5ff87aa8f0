"""Whether a host name would be looked up at this very server.

Owns what the system's resolver does first (hosts(5), resolv.conf(5)), and which of its servers are
our own listeners. Refuses to know why a name is needed.

What we need to start cannot come from answers that we give only once we have started.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from k8sdns.authorities.upstream import resolvconf
from k8sdns.server import sockets

RESOLV_CONF, HOSTS = "/etc/resolv.conf", "/etc/hosts"
_PORT = 53  # resolv.conf has no words for another
_DEFAULT = "127.0.0.1"  # whom the resolver asks where nobody is named


def is_looked_up_here(
    host: str,
    listeners: Iterable[tuple[str, int]],
    *,
    resolv_conf: str = RESOLV_CONF,
    hosts: str = HOSTS,
) -> bool:
    """Tell whether `host` is a name that nobody but this server could be asked for.

    `listeners` are addresses, "" for every one of the host's, and ports.
    """
    if _is_address(host) or host.lower() in {"localhost", *_known(hosts)}:
        return False
    return asks_only_us(listeners, resolv_conf=resolv_conf)


def asks_only_us(listeners: Iterable[tuple[str, int]], *, resolv_conf: str = RESOLV_CONF) -> bool:
    """Tell whether every server that the system's resolver asks is one of `listeners`."""
    ours = {host for host, port in listeners if port == _PORT}
    try:
        found = resolvconf.read(resolv_conf).servers
    except OSError:
        found = ()
    servers = [server.host for server in found] or [_DEFAULT]
    return all(server in ours or _is_everybody(ours, server) for server in servers)


def _is_everybody(ours: set[str], server: str) -> bool:
    """Tell whether a wildcard socket among `ours` takes what is sent to `server`."""
    address = ipaddress.ip_address(server.partition("%")[0])
    wildcards = {"", "::", "0.0.0.0"} if address.version == 4 else {"", "::"}  # noqa: S104
    if not wildcards & ours:
        return False
    return address.is_loopback or str(address) in sockets.all_own_addresses()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    return True


def _known(hosts: str) -> set[str]:
    try:
        lines = Path(hosts).read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {name.lower() for line in lines for name in line.partition("#")[0].split()[1:]}
