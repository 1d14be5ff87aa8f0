"""The servers that are measured: their configuration, for the same names.

k8sdns runs as users start it: twistd, and a Corefile whose cluster is an API server's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import names
import processes

READY = names.name_of(1)


class Server(NamedTuple):
    """A running server: where it answers, and whose CPU time is its cost."""

    name: str
    host: str
    port: int
    pid: int
    tls_port: int | None = None
    has_cluster: bool = True  # follows the API server, so that changes reach it
    asks_upstream: bool = False


class Surroundings(NamedTuple):
    """What servers find beside them."""

    folder: Path
    api_url: str
    upstream_port: int
    certificate: Path
    key: Path
    has_listed: bool = False  # whether Unbound has the outside names one by one as well


STOCK = """\
.:{port} {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:{health} {{
        lameduck 5s
    }}
    ready 127.0.0.1:{ready}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint {api}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }}
    prometheus 127.0.0.1:{metrics}
    forward . 127.0.0.1:{upstream} {{
        max_concurrent 1000
    }}
    cache 30
    loop
    reload
    loadbalance
}}
tls://.:{tls} {{
    bind 127.0.0.1
    tls {certificate} {key}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint {api}
        ttl 30
    }}
}}
"""

MINIMAL = """\
.:{port} {{
    bind 127.0.0.1
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        endpoint {api}
    }}
}}
"""


@contextlib.contextmanager
def _k8sdns(name: str, corefile: str, around: Surroundings) -> Iterator[Server]:
    folder = around.folder / name.replace(" ", "-")
    folder.mkdir()
    free = {each: processes.free_port() for each in ("port", "health", "ready", "metrics", "tls")}
    text = corefile.format(
        **free,
        api=around.api_url,
        upstream=around.upstream_port,
        certificate=around.certificate,
        key=around.key,
    )
    (folder / "Corefile").write_text(text)
    twistd = shutil.which("twistd", path=str(Path(sys.executable).parent)) or "twistd"
    command = [twistd, "-n", "--pidfile=", "k8sdns", "--corefile", "Corefile"]
    is_stock = corefile is STOCK
    with processes.running(command, folder) as process:
        processes.wait_for(process, folder, free["port"], READY)
        tls_port = free["tls"] if is_stock else None
        yield Server(name, "127.0.0.1", free["port"], process.pid, tls_port, asks_upstream=is_stock)


def k8sdns(around: Surroundings) -> contextlib.AbstractContextManager[Server]:
    """The Corefile that kubeadm writes, all of it; and DNS over TLS beside it."""
    return _k8sdns("k8sdns", STOCK, around)


def k8sdns_minimal(around: Surroundings) -> contextlib.AbstractContextManager[Server]:
    """The cluster's names and nothing else."""
    return _k8sdns("k8sdns minimal", MINIMAL, around)


@contextlib.contextmanager
def k8sdns_without_upstream(around: Surroundings) -> Iterator[Server]:
    """The stock Corefile, whose upstream takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        corefile = STOCK.replace("max_concurrent 1000", "max_concurrent 10000")
        place = around._replace(upstream_port=silent.getsockname()[1])
        with _k8sdns("k8sdns, calm", corefile, place) as server:
            yield server


UPSTREAM = "upstream"  # the Unbound that is asked for outside names

UNBOUND = """\
server:
    interface: 127.0.0.1
    interface: 127.0.0.1@{tls}
    port: {port}
    tls-port: {tls}
    tls-service-key: "{key}"
    tls-service-pem: "{certificate}"
    num-threads: 1
    incoming-num-tcp: 2100
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    so-rcvbuf: 4m
    access-control: 127.0.0.0/8 allow
    {data}
{forwarding}remote-control:
    control-enable: no
"""


# Its cheapest way: it does not validate, as nobody else here does.
UNBOUND_FORWARDING = """\
    module-config: "iterator"
    do-not-query-localhost: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{upstream}
"""


def unbound_data(has_listed: bool) -> Iterator[str]:
    """Yield every record as local-data; whatever else is asked does not exist.

    All names below `names.OUTSIDE` are one record, which Unbound gives to any of them
    (``redirect``). Those below `names.LISTED` are a record each where `has_listed` is set.
    """
    yield 'local-zone: "." static'
    yield from cluster_data()
    yield f'local-zone: "{names.OUTSIDE}." redirect'
    yield f'local-data: "{names.OUTSIDE}. 300 IN A {names.OUTSIDE_ADDRESS}"'
    kind = "static" if has_listed else "redirect"
    yield f'local-zone: "{names.LISTED}." {kind}'
    yield f'local-data: "{names.LISTED}. 300 IN A {names.OUTSIDE_ADDRESS}"'
    if has_listed:
        for number in range(names.LISTED_NAMES * names.LISTED_ROUNDS):
            name = names.listed_name(number)
            yield f'local-data: "{name}. 300 IN A {names.OUTSIDE_ADDRESS}"'


def cluster_data() -> Iterator[str]:
    """Yield the cluster's records as Unbound's local-data."""
    soa = (
        f"{names.ZONE}. 5 IN SOA ns.dns.{names.ZONE}. hostmaster.{names.ZONE}. 1 7200 1800 86400 5"
    )
    yield f'local-zone: "{names.ZONE}." static'
    yield f'local-data: "{soa}"'
    for name, found in names.addresses():
        for address in found:
            yield f'local-data: "{name}. 5 IN A {address}"'
    for name in names.ports():
        yield f'local-data: "{name}. 5 IN SRV 0 100 80 {name.split(".", 2)[2]}."'


def unbound(
    around: Surroundings,
    name: str = "unbound",
    port: int | None = None,
    cpus: set[int] = processes.MEASURED,
) -> contextlib.AbstractContextManager[Server]:
    """Unbound with one thread, every name as local-data: nobody is asked."""
    data = unbound_data(around.has_listed and name != UPSTREAM)
    return _unbound(around, name, data, port=port, cpus=cpus)


def unbound_forwarding(around: Surroundings) -> contextlib.AbstractContextManager[Server]:
    """Unbound with one thread and the cluster's names; outside ones it asks the upstream for."""
    forwarding = UNBOUND_FORWARDING.format(upstream=around.upstream_port)
    return _unbound(around, "unbound forwarding", cluster_data(), forwarding)


@contextlib.contextmanager
def _unbound(
    around: Surroundings,
    name: str,
    records: Iterator[str],
    forwarding: str = "",
    *,
    port: int | None = None,
    cpus: set[int] = processes.MEASURED,
) -> Iterator[Server]:
    folder = around.folder / name.replace(" ", "-")
    folder.mkdir()
    port, tls = port or processes.free_port(), processes.free_port()
    data = "\n    ".join(records)
    (folder / "unbound.conf").write_text(
        UNBOUND.format(
            port=port,
            tls=tls,
            key=around.key,
            certificate=around.certificate,
            folder=folder,
            data=data,
            forwarding=forwarding,
        )
    )
    program = processes.find("unbound") or "unbound"
    with processes.running([program, "-d", "-c", "unbound.conf"], folder, cpus) as process:
        processes.wait_for(process, folder, port, READY)
        yield Server(
            name,
            "127.0.0.1",
            port,
            process.pid,
            tls,
            has_cluster=False,
            asks_upstream=bool(forwarding),
        )


@contextlib.contextmanager
def dnsmasq(around: Surroundings) -> Iterator[Server]:
    """dnsmasq: the cluster's addresses from a hosts file, outside names from the upstream.

    It has no SRV records, and says NODATA to 5 % of the mix: given a thousand of them, it looks
    through all of them at every query, and manages a quarter.
    """
    folder = around.folder / "dnsmasq"
    folder.mkdir()
    port = processes.free_port()
    hosts = [f"{address} {name}" for name, found in names.addresses() for address in found]
    (folder / "hosts").write_text("\n".join(hosts) + "\n")
    settings = [
        f"port={port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts",
        "keep-in-foreground", "user=", "group=", "pid-file=", "cache-size=10000", "local-ttl=5",
        "dns-forward-max=1000", f"addn-hosts={folder}/hosts", f"local=/{names.ZONE}/",
        f"server=127.0.0.1#{around.upstream_port}", "conf-file=",
    ]  # fmt: skip
    (folder / "dnsmasq.conf").write_text("\n".join(settings) + "\n")
    program = processes.find("dnsmasq") or "dnsmasq"
    with processes.running([program, f"--conf-file={folder}/dnsmasq.conf"], folder) as process:
        processes.wait_for(process, folder, port, READY)
        yield Server(
            "dnsmasq", "127.0.0.1", port, process.pid, has_cluster=False, asks_upstream=True
        )


BARE = """\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("127.0.0.1", {port}))
receive, send = s.recvfrom, s.sendto
while True:
    message, address = receive(4096)
    send(message[:2] + b"\\x81" + message[3:], address)
"""


@contextlib.contextmanager
def bare(around: Surroundings) -> Iterator[Server]:
    """A Python loop that sends every datagram back: the floor."""
    port = processes.free_port()
    folder = around.folder / "bare"
    command = [sys.executable, "-c", BARE.format(port=port)]
    with processes.running(command, folder) as process:
        processes.wait_for(process, folder, port)
        yield Server("bare loop", "127.0.0.1", port, process.pid, has_cluster=False)


RELAY = """\
import os, select, socket
def made(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    s.setblocking(False)
    s.bind(("127.0.0.1", port))
    return s
server = made({port})
others = [made(0) for _ in range(256)]
poll = select.epoll()
poll.register(server.fileno(), select.EPOLLIN)
for other in others:
    other.connect(("127.0.0.1", {upstream}))
    poll.register(other.fileno(), select.EPOLLIN)
sockets = {{other.fileno(): other for other in others}}
asked = {{}}
receive, send, id_ = server.recvfrom, server.sendto, 0
while True:
    for number, _ in poll.poll(-1, 128):
        other = sockets.get(number)
        try:
            if other is None:
                for _ in range(128):
                    message, address = receive(4096)
                    id_ = id_ + 1 & 0xFFFF
                    asked[id_] = message[:2], address
                    others[id_ & 255].send(id_.to_bytes(2, "big") + message[2:])
            else:
                message = other.recv(4096)
                first, address = asked.pop(message[0] << 8 | message[1])
                send(first + message[2:], address)
        except (OSError, KeyError):
            pass
"""


@contextlib.contextmanager
def relay(around: Surroundings) -> Iterator[Server]:
    """A Python loop that passes datagrams on and back and looks at ids alone: the floor."""
    port = processes.free_port()
    folder = around.folder / "relay"
    command = [sys.executable, "-c", RELAY.format(port=port, upstream=around.upstream_port)]
    with processes.running(command, folder) as process:
        processes.wait_for(process, folder, port)
        yield Server(
            "bare relay", "127.0.0.1", port, process.pid, has_cluster=False, asks_upstream=True
        )


KNOWN: dict[str, Callable[[Surroundings], contextlib.AbstractContextManager[Server]]] = {
    "bare": bare,
    "relay": relay,
    "unbound": unbound,
    "forwarding": unbound_forwarding,
    "dnsmasq": dnsmasq,
    "k8sdns": k8sdns,
    "minimal": k8sdns_minimal,
}


def further(text: str) -> Server:
    """Return the server of ``NAME=IP:PORT,PID`` that somebody else runs; loopback only."""
    try:
        name, place = text.split("=", 1)
        address, pid = place.rsplit(",", 1)
        host, port = address.rsplit(":", 1)
        if not ipaddress.ip_address(host.strip("[]")).is_loopback:
            raise SystemExit(f"{text}: only servers on loopback are measured")
        server = Server(name, host.strip("[]"), int(port), int(pid), asks_upstream=True)
    except ValueError:
        raise SystemExit(f"{text}: expected NAME=IP:PORT,PID") from None
    return server
