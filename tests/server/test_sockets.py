"""Sockets: what a bind address opens, and errors that say what to do."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from k8sdns.answers import peer_of
from k8sdns.errors import ConfigurationError
from k8sdns.metrics import SOCKET_BUFFER, Metrics
from k8sdns.server import sockets
from k8sdns.server.carried import Carried
from k8sdns.server.listeners import Listeners, ListenKey
from k8sdns.server.sockets import ListenAddress


def test_no_host_is_both_families() -> None:
    families = [address.family for address in sockets.addresses("", 53)]
    assert families[0] == socket.AF_INET
    assert len(families) == 1 + sockets.has_ipv6()


@pytest.mark.parametrize(
    ("host", "family", "dual"),
    [
        ("127.0.0.1", socket.AF_INET, False),
        ("::1", socket.AF_INET6, False),
        ("::", socket.AF_INET6, True),
    ],
)
def test_a_host_is_itself(host: str, family: int, dual: bool) -> None:
    assert sockets.addresses(host, 5353) == [ListenAddress(family, host, 5353, dual)]


def test_both_families_share_a_port() -> None:
    opened = []
    try:
        first = sockets.open_datagram(ListenAddress(socket.AF_INET, "127.0.0.1", 0))
        opened.append(first)
        port = first.getsockname()[1]
        opened.append(sockets.open_stream(ListenAddress(socket.AF_INET, "127.0.0.1", port)))
        if sockets.has_ipv6():
            opened.append(sockets.open_datagram(ListenAddress(socket.AF_INET6, "::1", port)))
    finally:
        for sock in opened:
            sock.close()


def test_a_port_in_use_says_so_in_one_line() -> None:
    with sockets.open_stream(ListenAddress(socket.AF_INET, "127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            sockets.open_stream(ListenAddress(socket.AF_INET, "127.0.0.1", port))
    assert str(caught.value) == (
        f"cannot listen on tcp 127.0.0.1:{port}: Address already in use "
        "(another server listens there: stop it, or choose another port or `bind`)"
    )


def test_a_foreign_address_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"udp 192\.0\.2\.77:5353: .*no interface"):
        sockets.open_datagram(ListenAddress(socket.AF_INET, "192.0.2.77", 5353))


class Unprivileged(socket.socket):
    """A socket of a process without CAP_NET_ADMIN."""

    def setsockopt(self, level, option, value) -> None:  # type: ignore[no-untyped-def, override]
        if option == sockets._SO_RCVBUFFORCE:
            raise PermissionError(1, "Operation not permitted")
        super().setsockopt(level, option, value)


@pytest.mark.parametrize("kind", [socket.socket, Unprivileged])
def test_a_receive_buffer_is_as_large_as_may_be(kind: type[socket.socket]) -> None:
    wanted = sockets.RECEIVE_BUFFER_OCTETS
    with kind(socket.AF_INET, socket.SOCK_DGRAM) as sock, socket.socket(type=2) as forced:
        try:
            forced.setsockopt(socket.SOL_SOCKET, sockets._SO_RCVBUFFORCE, wanted)
        except PermissionError:
            kind = Unprivileged
        if kind is Unprivileged:
            wanted = min(wanted, int(Path("/proc/sys/net/core/rmem_max").read_text()))
        sockets.make_room(sock)
        assert sockets.receive_buffer(sock) == 2 * wanted  # the kernel doubles it: socket(7)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::1%eth0"),
    ],
)
def test_mapped_peers_are_unmapped_and_scopes_kept(address: tuple[str, int], host: str) -> None:
    assert peer_of(address) == (host, 5)


def test_a_reply_leaves_from_the_address_that_was_asked() -> None:
    asked, routed = socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.99")
    control = [(socket.IPPROTO_IP, 8, struct.pack("=i", 3) + routed + asked)]
    assert sockets.destination(control) == "192.0.2.7"
    assert sockets.reply_from(control) == [(socket.IPPROTO_IP, 8, bytes(4) + asked + bytes(4))]
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + struct.pack("=i", 3)
    control = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, six)]
    assert sockets.destination(control) == "2001:db8::7"
    assert sockets.reply_from(control) == control
    assert sockets.reply_from([]) == []


class TestListeners:
    """Opening is all or nothing; what stays is not touched."""

    def test_failing_to_open_one_leaves_nothing_open(self) -> None:
        listeners = Listeners(MemoryReactorClock(), Metrics())
        good, bad = ListenKey("dns", "127.0.0.1", 0), ListenKey("dns", "192.0.2.77", 0)
        with pytest.raises(ConfigurationError):
            listeners.prepare([good, bad])
        assert list(listeners) == []

    def test_a_listener_that_stays_keeps_its_socket(self) -> None:
        metrics = Metrics()
        listeners = Listeners(MemoryReactorClock(), metrics)
        key, gone = ListenKey("dns", "127.0.0.1", 0), ListenKey("dns", "127.0.0.2", 0)
        servers = {key: (FakeServer(), None), gone: (FakeServer(), None)}
        listeners.commit(listeners.prepare(servers), servers)  # type: ignore[arg-type]
        port = next(iter(listeners)).port
        stays = {key: (FakeServer(), None)}
        listeners.commit(listeners.prepare(stays), stays)  # type: ignore[arg-type]
        assert [(each.key, each.port) for each in listeners] == [(key, port)]
        assert min(metrics.gauge(SOCKET_BUFFER).values()) > 0
        listeners.close()

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            (ListenKey("dns", "", 53), "dns://:53"),
            (ListenKey("tls", "127.0.0.1", 853), "tls://127.0.0.1:853"),
            (ListenKey("dns", "::1", 53), "dns://[::1]:53"),
        ],
    )
    def test_names_are_those_of_the_server_label(self, key: ListenKey, text: str) -> None:
        assert str(key) == text


class FakeServer:
    """Something that answers."""

    def repeater(self) -> FakeServer:
        return self

    def respond(self, *_args: object) -> None: ...

    def succeed(self, old: FakeServer) -> None: ...


class TestCarried:
    """Shared things live as long as somebody owns them."""

    def test_an_equal_key_is_the_same_thing(self) -> None:
        carried = Carried()
        first, second = carried.share(), carried.share()
        assert first.take("watch", object) is second.take("watch", object)
        assert first.take("other", object) is not second.take("watch", object)

    def test_what_nobody_owns_is_forgotten(self) -> None:
        carried = Carried()
        first, second = carried.share(), carried.share()
        first.take("kept", object)
        first.take("gone", object)
        second.take("kept", object)
        Deferred.fromCoroutine(first.release())
        assert len(carried) == 1
