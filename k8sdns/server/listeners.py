"""The sockets of a server: what is open, and which server answers on it.

Owns opening, handing over and closing. A reload keeps every socket whose address stays: `prepare`
opens what is new and can fail, `commit` swaps one reference a listener and cannot, and closes
what is gone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.metrics import SOCKET_BUFFER, Metrics
from k8sdns.server import sockets
from k8sdns.server.datagram import DatagramPort, port_for
from k8sdns.server.drops import Drops
from k8sdns.server.server import Server
from k8sdns.server.sockets import ListenAddress


class ListenKey(NamedTuple):
    """One listener as a Corefile names it; `host` "" is every address."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Say it as the `server` label of metrics does: ``dns://:53``, ``tls://127.0.0.1:853``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


WrittenAt: TypeAlias = Mapping[ListenKey, tuple[str, int]]
"""The file and line that ask for a listener."""

_NOWHERE: WrittenAt = {}


@contextmanager
def placed(key: ListenKey, written_at: WrittenAt) -> Iterator[None]:
    """Have an error about a listener name its place in the Corefile."""
    try:
        yield
    except ConfigurationError as error:
        if key not in written_at:
            raise
        raise CorefileError(str(error), *written_at[key]) from error


class SwitchingFactory(Factory):
    """Makes connections with whatever factory is current: what a reload exchanges."""

    noisy = False

    def __init__(self, name: str = "") -> None:
        self._name = name
        self.current: Any = None

    def logPrefix(self) -> str:
        """Say who starts and stops, in Twisted's log lines."""
        return self._name

    def buildProtocol(self, address: IAddress | None) -> Any:
        """Have the current factory make the protocol."""
        return self.current.buildProtocol(address)


class Listener:
    """The open sockets of one `ListenKey`, and the server behind them."""

    def __init__(self, key: ListenKey, reactor: Any) -> None:
        self.key = key
        self._reactor = reactor
        self._factory = SwitchingFactory(str(key))
        self._streams: list[socket.socket] = []
        self._datagrams: list[tuple[socket.socket, ListenAddress]] = []
        self._ports: list[DatagramPort] = []
        self._listening: list[IListeningPort] = []
        self._server: Server | None = None

    def share_port(self, *, is_shared: bool) -> None:
        """Let another socket of ours bind the same port, while a reload moves to it."""
        for sock in [*self._streams, *(sock for sock, _address in self._datagrams)]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)

    def open(self, *, is_shared: bool = False) -> None:
        """Bind the sockets; raises ConfigurationError and leaves nothing open."""
        try:
            for address in sockets.addresses(self.key.host, self.key.port):
                stream = sockets.open_stream(address, is_shared=is_shared)
                self._streams.append(stream)
                if self.key.scheme == "dns":
                    same = address._replace(port=stream.getsockname()[1])
                    self._datagrams.append((sockets.open_datagram(same, is_shared=is_shared), same))
        except Exception:
            self.close()
            raise

    @property
    def port(self) -> int:
        """The port in use, also where the Corefile left the choice to the system with 0."""
        number: int = self._streams[0].getsockname()[1]
        return number

    @property
    def datagrams(self) -> list[tuple[socket.socket, ListenAddress]]:
        """The open UDP sockets, and where they listen."""
        return list(self._datagrams)

    def serve_with(self, server: Server, stream_factory: Any) -> None:
        """Have `server` answer from now on; the first call starts nothing yet."""
        if self._server is not None and self._server is not server:
            server.succeed(self._server)
        self._server = server
        self._factory.current = stream_factory
        for port in self._ports:
            port.respond_with(server.repeater().respond)

    def start(self) -> None:
        """Begin to read."""
        if self._ports or self._listening or self._server is None:
            return
        for sock, address in self._datagrams:
            port = port_for(sock, address, self._server.repeater().respond, self._reactor)
            self._ports.append(port)
            port.start()
        for stream in self._streams:
            self._listening.append(
                self._reactor.adoptStreamPort(stream.fileno(), stream.family, self._factory)
            )

    def report(self, metrics: Metrics) -> None:
        """Say how large the receive buffers came out."""
        gauge = metrics.gauge(SOCKET_BUFFER)
        for sock, address in self._datagrams:
            gauge[(str(address),)] = sockets.receive_buffer(sock)

    def close(self) -> None:
        """Close every socket."""
        for port in self._ports:
            port.stop()
        for listening in self._listening:
            listening.stopListening()
        for sock in [*self._streams, *(sock for sock, _address in self._datagrams)]:
            sock.close()
        self._ports, self._listening, self._streams, self._datagrams = [], [], [], []


class Listeners:
    """Every listener of a process, by key; `make` makes one, not open yet."""

    def __init__(
        self, reactor: Any, metrics: Metrics, make: Callable[[ListenKey, Any], Listener] = Listener
    ) -> None:
        self._reactor = reactor
        self._metrics = metrics
        self._make = make
        self._open: dict[ListenKey, Listener] = {}
        self._started = False
        self._drops = Drops(metrics, self._datagram_sockets)

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._open.values())

    def prepare(
        self, keys: Iterable[ListenKey], written_at: WrittenAt = _NOWHERE
    ) -> dict[ListenKey, Listener]:
        """Open what is not open yet; on failure nothing has changed.

        Raises ConfigurationError; with the place, of a listener that `written_at` knows.
        """
        opened: dict[ListenKey, Listener] = {}
        taken = {key.port for key in self._open}
        self._share_ports(is_shared=True)
        try:
            for key in keys:
                if key not in self._open and key not in opened:
                    listener = self._make(key, self._reactor)
                    with placed(key, written_at):
                        listener.open(is_shared=key.port in taken)
                    opened[key] = listener
        except Exception:
            self.abandon(opened)
            raise
        finally:
            self._share_ports(is_shared=False)
        return opened

    def _datagram_sockets(self) -> list[tuple[socket.socket, ListenAddress]]:
        return [each for listener in self._open.values() for each in listener.datagrams]

    def _share_ports(self, *, is_shared: bool) -> None:
        """From a wildcard address to a single one a port has two sockets of ours for a moment."""
        for listener in self._open.values():
            listener.share_port(is_shared=is_shared)

    def abandon(self, opened: dict[ListenKey, Listener]) -> None:
        """Close what `prepare` opened: the rest of the preparation failed."""
        for listener in opened.values():
            listener.close()

    def commit(
        self, opened: dict[ListenKey, Listener], servers: dict[ListenKey, tuple[Server, Any]]
    ) -> None:
        """Make these the servers; close the listeners that none of them wants."""
        self._open.update(opened)
        for key in [each for each in self._open if each not in servers]:
            self._open.pop(key).close()
        for key, (server, stream_factory) in servers.items():
            self._open[key].serve_with(server, stream_factory)
            self._open[key].report(self._metrics)
        self._drops.count()
        if self._started:
            self.start()

    def start(self) -> None:
        """Begin to read on every listener."""
        self._started = True
        for listener in self._open.values():
            listener.start()

    def close(self) -> None:
        """Close everything."""
        for listener in self._open.values():
            listener.close()
        self._open.clear()
