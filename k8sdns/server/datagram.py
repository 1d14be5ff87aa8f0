"""UDP: a port that drains its socket and answers in place.

Owns receiving and sending. Twisted's own UDP port makes three calls a datagram and reads at most
a few a wake-up; here one wake-up serves what has gathered with the socket's own methods, or,
where native/datagrams.c was compiled, without Python's socket objects at all.
Refuses to know what a datagram says.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns.server import sockets
from k8sdns.server.late import Late, Latecomers
from k8sdns.waiting import Pending

try:
    from k8sdns.server._datagrams import Datagrams
except ImportError:  # not compiled: nothing needs it
    HAS_COMPILED = False
else:
    HAS_COMPILED = True

log = Logger()

BATCH = 32  # datagrams between two looks at the clock
SHARE = 0.003
"""Seconds of a wake-up after which other descriptors have their turn, however many queries wait.

A turn that a first listing fills takes 1-2 ms: queries get two thirds of the time, so that a server
that half its capacity is asked of loses none meanwhile.
"""
ALONE = 16
"""Wake-ups that take one datagram each, after one that found a single one.

To look for a second that is not there costs a system call and an exception. Whatever is there makes
the socket readable still.
"""
MAX_QUERY_OCTETS = 4096  # longer ones are cut by the kernel and then FORMERR
_CONTROL_OCTETS = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(12)

Reply: TypeAlias = "bytes | None"
Respond: TypeAlias = Callable[
    [bytes, tuple[Any, ...], tuple[Any, ...]], "Reply | Late | Pending | Deferred[Reply]"
]


@implementer(IReadDescriptor)
class DatagramPort:
    """One UDP socket on a reactor; `respond(message, address, local_address)` answers."""

    def __init__(
        self, sock: socket.socket, respond: Respond, reactor: IReactorFDSet, name: str = ""
    ) -> None:
        self._socket = sock
        self._respond = respond
        self._reactor = reactor
        self._name = name
        self._local = sock.getsockname()
        self._late = Latecomers(self._begin, reactor)
        self._way_back: Any = self
        self._alone = 0  # further wake-ups that are expected to bring one datagram
        self.lost_replies = 0

    def start(self) -> None:
        """Begin to read."""
        self._reactor.addReader(self)

    def stop(self) -> None:
        """Read no more; the socket stays open until `close`."""
        self._reactor.removeReader(self)

    def close(self) -> None:
        """Stop, and close the socket."""
        self.stop()
        self._late.clear()
        self._socket.close()

    def respond_with(self, respond: Respond) -> None:
        """Have another server answer from now on (a reload's commit)."""
        self._respond = respond

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return f"udp {self._name}"

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - Twisted's signature
        """The reactor is stopping, or the socket broke."""
        self._late.clear()
        self._socket.close()

    def doRead(self) -> None:
        """Answer what has arrived, or as much as fits into `SHARE`."""
        if self._alone:
            self._alone -= 1
            self._drain(1)
        else:
            self._drain_all()
        self._late.answer()

    def _drain_all(self) -> None:
        end = monotonic() + SHARE
        taken = self._drain(BATCH)
        if taken == 1:
            self._alone = ALONE
        while taken == BATCH and monotonic() < end:
            taken = self._drain(BATCH)

    def _drain(self, most: int) -> int:
        """Answer at most `most` datagrams; return how many there were."""
        receive, send = self._socket.recvfrom, self._socket.sendto
        respond, local = self._respond, self._local
        for taken in range(most):
            try:
                message, address = receive(MAX_QUERY_OCTETS)
            except BlockingIOError:
                return taken
            except OSError:
                continue  # an ICMP error of an earlier reply; it consumed nothing
            try:
                reply = respond(message, address, local)
            except Exception:  # noqa: BLE001 - the reactor would close the socket for good
                self._broke()
                continue
            if isinstance(reply, bytes):
                try:
                    send(reply, address)
                except OSError:
                    self.lost_replies += 1
            elif reply is not None:
                self._wait(reply, address)
        return most

    def _wait(self, reply: Late | Pending | Deferred[Reply], address: tuple[Any, ...]) -> None:
        """Send a reply when it is there."""
        if isinstance(reply, Late):
            self._put_off(reply)
        elif isinstance(reply, Pending):
            reply.way_back = self._way_back
        else:
            reply.addBoth(self._answered, address)

    def _put_off(self, late: Late) -> None:
        """Answer a query once what else waits in the socket was."""
        if self._late.has_room():
            self._late.add(late)
        else:
            self._settle(late.shed(), late)

    def _begin(self, late: Late) -> None:
        try:
            self._settle(late.begin(), late)
        except Exception:  # noqa: BLE001 - those behind it are to be answered
            self._broke()

    def _settle(self, reply: Any, late: Late) -> None:
        """Send the reply to a late query, or see to it that it will be."""
        if isinstance(reply, bytes):
            self._answered(reply, late.address)
        elif reply is not None:
            self._wait(reply, late.address)

    def send_reply(self, reply: Reply, pending: Pending) -> None:
        """Send the reply to a question that waited."""
        if reply is not None:
            try:
                self._socket.sendto(reply, pending.question.address)
            except OSError:
                self.lost_replies += 1

    def _broke(self) -> None:
        """A bug costs one query, not the port."""
        log.failure("A bug kept a query on {name} from being answered", name=self._name)

    def _answered(self, reply: bytes | Failure | None, address: tuple[Any, ...]) -> None:
        if not isinstance(reply, bytes):
            return
        try:
            self._socket.sendto(reply, address)
        except OSError:
            self.lost_replies += 1


class SourceKeepingPort(DatagramPort):
    """The same for a wildcard socket of a host with several addresses.

    Each reply leaves from the address that its query was sent to; otherwise the kernel would
    choose, and a client drops what comes from an address it did not ask.
    """

    def __init__(
        self, sock: socket.socket, respond: Respond, reactor: IReactorFDSet, name: str = ""
    ) -> None:
        super().__init__(sock, respond, reactor, name)
        sockets.ask_for_destination(sock)

    def _drain(self, most: int) -> int:
        receive, port = self._socket.recvmsg, self._local[1]
        for taken in range(most):
            try:
                message, control, _flags, address = receive(MAX_QUERY_OCTETS, _CONTROL_OCTETS)
            except BlockingIOError:
                return taken
            except OSError:
                continue
            local = (sockets.destination(control), port)
            try:
                reply = self._respond(message, address, local)
            except Exception:  # noqa: BLE001 - the reactor would close the socket for good
                self._broke()
                continue
            if isinstance(reply, Late):
                reply.control = control
                self._put_off(reply)
            else:
                self._send_or_wait(reply, address, control)
        return most

    def _settle(self, reply: Any, late: Late) -> None:
        self._send_or_wait(reply, late.address, late.control)

    def _send_or_wait(
        self, reply: Any, address: tuple[Any, ...], control: list[tuple[int, int, bytes]]
    ) -> None:
        if isinstance(reply, Pending):
            reply.way_back, reply.control = self, control
        elif isinstance(reply, Deferred):
            reply.addBoth(self._send, address, control)
        else:
            self._send(reply, address, control)

    def send_reply(self, reply: Reply, pending: Pending) -> None:
        """Send the reply to a question that waited."""
        self._send(reply, pending.question.address, pending.control)

    def _send(
        self,
        reply: bytes | Failure | None,
        address: tuple[Any, ...],
        control: list[tuple[int, int, bytes]],
    ) -> None:
        if not isinstance(reply, bytes):
            return
        try:
            self._socket.sendmsg([reply], sockets.reply_from(control), 0, address)
        except OSError:
            self.lost_replies += 1


class CompiledPort(DatagramPort):
    """The same as DatagramPort, compiled."""

    def __init__(
        self, sock: socket.socket, respond: Respond, reactor: IReactorFDSet, name: str = ""
    ) -> None:
        super().__init__(sock, respond, reactor, name)
        self._datagrams = self._way_back = Datagrams(sock.fileno(), MAX_QUERY_OCTETS)

    def close(self) -> None:
        """Stop, and close the socket."""
        self._datagrams.close()
        super().close()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is stopping, or the socket broke."""
        self._datagrams.close()
        super().connectionLost(reason)

    def doRead(self) -> None:
        """Answer what has arrived."""
        super().doRead()
        self.lost_replies += self._datagrams.take_lost()

    def _drain(self, most: int) -> int:
        try:
            return self._datagrams.drain(self._respond, self._local, self._wait, most)
        except Exception:  # noqa: BLE001 - the reactor would close the socket for good
            self._broke()
            return most  # more may wait


def port_for(
    sock: socket.socket, address: sockets.ListenAddress, respond: Respond, reactor: IReactorFDSet
) -> DatagramPort:
    """Return the port that suits a socket: the plain one where the kernel chooses sources right."""
    kind = CompiledPort if HAS_COMPILED else DatagramPort
    if sockets.needs_source_address(address):
        kind = SourceKeepingPort
    return kind(sock, respond, reactor, str(address))
