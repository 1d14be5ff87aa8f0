"""UDP towards one upstream: many connected sockets, each with an unguessable port.

Owns sockets and which datagram belongs to which attempt. A connected socket takes datagrams from
its upstream's address and port only; the id must be that of an attempt; the attempt itself looks
at the question. Whatever else arrives is counted and ends nothing (RFC 5452 §9).
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import classImplements

from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.failure import reason_of
from k8sdns.authorities.upstream.network import Network
from k8sdns.authorities.upstream.randomness import Randomness

MAX_SOCKETS = 256  # of a busy upstream; with the ids some 37 bits to guess
MIN_SOCKETS = 4  # of a quiet one that is asked at all
MAX_REPLY_OCTETS = 4096  # we ask for at most 1232; what is longer is cut, and then asked over TCP
MAX_MISMATCHES = 8  # on one socket, before it is given up and its queries go over TCP
MAX_IDS = 1024  # used on one socket, before it is retired
LIFETIME_SECONDS = 30.0
SWEEP_SECONDS = 1.0
_BATCH = 64


class Asking(Protocol):
    """What a socket knows of an attempt."""

    datagram_socket: DatagramSocket | None
    datagram_id: int

    def datagram_came(self, message: bytes) -> None:
        """A datagram with its id came."""

    def datagram_lost(self, phase: str, reason: str) -> None:
        """None will come any more."""

    def doubt(self) -> None:
        """Somebody may be guessing ids."""


class DatagramSocket:
    """One connected socket and the attempts that wait for a datagram on it.

    An id stays taken after its attempt ended, so that a late reply is known for what it is.
    """

    def __init__(self, sock: Any, pool: DatagramPool, retires_at: float) -> None:
        self._socket = sock
        self._send = sock.send
        self._receive = sock.recv
        self._pool = pool
        self._attempts: dict[int, Asking | None] = {}
        self._mismatches = 0
        self.retires_at = retires_at
        self.used_at = 0.0
        self.in_flight = 0

    def ask(self, attempt: Asking, id_: int, rest: bytes) -> None:
        """Send `rest` behind `id_`, or another id where that is taken; raises OSError."""
        attempts = self._attempts
        while id_ in attempts:
            id_ = self._pool.randomness.number()
        self._send(id_.to_bytes(2, "big") + rest)
        attempts[id_] = attempt
        attempt.datagram_id = id_
        self.in_flight += 1
        if len(attempts) >= MAX_IDS:
            self.retires_at = 0.0

    def forget(self, attempt: Asking) -> None:
        """The attempt is over; its late reply, should it come, is nobody's."""
        if self._attempts.get(attempt.datagram_id) is attempt:
            self._attempts[attempt.datagram_id] = None
            self.in_flight -= 1

    def exchange(self, before: Asking, attempt: Asking) -> None:
        """Let `attempt` wait instead of another one, whose id it has."""
        if self._attempts.get(attempt.datagram_id) is before:
            self._attempts[attempt.datagram_id] = attempt

    def doRead(self) -> None:
        """Take what has arrived."""
        receive, attempts = self._receive, self._attempts
        for _ in range(_BATCH):
            try:
                message = receive(MAX_REPLY_OCTETS)
            except BlockingIOError:
                return
            except OSError as error:
                self._refused(error)
                return
            if message is None:
                return
            id_ = int.from_bytes(message[:2], "big")
            attempt = attempts.get(id_)
            if attempt is not None and len(message) > 1:
                attempt.datagram_came(message)
            elif id_ not in attempts or len(message) < 2:
                self.mismatched()
            # Nothing more is due: a further read would only raise.
            if not self.in_flight or self._socket is None:
                return

    def mismatched(self) -> None:
        """A datagram that is no reply of ours: somebody may be guessing."""
        self._pool.mismatched()
        self._mismatches += 1
        if self._mismatches == MAX_MISMATCHES:
            self.retires_at = 0.0
            for attempt in self._waiting():
                attempt.doubt()

    def _waiting(self) -> list[Asking]:
        return [attempt for attempt in self._attempts.values() if attempt is not None]

    def _refused(self, error: OSError) -> None:
        """The upstream's host says that nobody listens there (ICMP), or the network is gone."""
        for attempt in self._waiting():
            self.forget(attempt)
            attempt.datagram_lost("wait", reason_of(error))

    def close(self) -> None:
        """Read no more; what waits here is left to its time limit."""
        if self._socket is not None:
            self._pool.readers.removeReader(self)
            self._socket.close()
            self._socket = None
            self._attempts.clear()

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return f"upstream {self._pool.destination}"

    def connectionLost(self, _reason: Failure) -> None:
        """The reactor is stopping; or an ICMP error came, which reactors take for a broken end."""
        error = self._pending_error()
        waiting = self._waiting()
        # First, so that nothing is asked from here again: the reactor reads it no more.
        self._pool.drop(self)
        if error is not None:
            for attempt in waiting:
                attempt.datagram_lost("wait", reason_of(error))

    def _pending_error(self) -> OSError | None:
        try:
            self._socket.recv(MAX_REPLY_OCTETS)
        except BlockingIOError:
            return None
        except OSError as error:
            return error
        return None


# Not by a decorator: mypyc would not make it a native class.
classImplements(DatagramSocket, IReadDescriptor)


class DatagramPool:
    """The UDP sockets of one upstream: as many as it is busy, none for long."""

    def __init__(
        self,
        destination: Destination,
        network: Network,
        clock: IReactorTime,
        randomness: Randomness,
        *,
        idle_seconds: float = 10.0,
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> None:
        self.destination = destination
        self.readers = network.readers(destination)
        self.randomness = randomness
        self.mismatches = 0
        self.opened = 0
        self.reused = 0
        self._network = network
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._lifetime_seconds = lifetime_seconds
        self._sockets: list[DatagramSocket] = []  # that take new queries
        self._retired: list[DatagramSocket] = []
        self._asked = 0  # since the last sweep
        self._target = MIN_SOCKETS
        self._call: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    def ask(self, attempt: Asking, rest: bytes, now: float) -> None:
        """Send a query, all but its id, from a socket chosen at random; raises OSError."""
        self._asked += 1
        sockets = self._sockets
        count = len(sockets)
        if count < MAX_SOCKETS and (count < self._target or count < self._asked):
            sock, id_ = self._opened(), self.randomness.number()
        else:
            self.reused += 1
            both = self.randomness.both(count)
            sock, id_ = sockets[both >> 16], both & 0xFFFF
        sock.used_at = now
        attempt.datagram_socket = sock
        sock.ask(attempt, id_, rest)

    def _opened(self) -> DatagramSocket:
        """Return a new socket, or an old one where no more are to be had."""
        count = len(self._sockets)
        try:
            return self._open()
        except OSError:
            if not count:
                raise
        self.reused += 1
        return self._sockets[self.randomness.below(count)]

    def _open(self) -> DatagramSocket:
        # Ages differ, so that sockets are not renewed all at once.
        share = 0.5 + self.randomness.number() / 131072
        retires_at = self._clock.seconds() + self._lifetime_seconds * share
        sock = DatagramSocket(self._network.open_datagram(self.destination), self, retires_at)
        self.readers.addReader(sock)
        self._sockets.append(sock)
        self.opened += 1
        if self._call is None:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)
        return sock

    def _sweep(self) -> None:
        self._call = None
        now = self._clock.seconds()
        self._target = min(MAX_SOCKETS, max(MIN_SOCKETS, self._asked))
        self._asked = 0
        for sock in [each for each in self._retired if not each.in_flight]:
            self.drop(sock)
        for sock in [each for each in self._sockets if self._has_served(each, now)]:
            self._sockets.remove(sock)
            self._retired.append(sock)
        if self._sockets or self._retired:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def _has_served(self, sock: DatagramSocket, now: float) -> bool:
        return sock.retires_at <= now or sock.used_at + self._idle_seconds <= now

    def mismatched(self) -> None:
        """Count a datagram that answers nothing we asked."""
        self.mismatches += 1

    def drop(self, sock: DatagramSocket) -> None:
        """Close one socket."""
        sock.close()
        for sockets in (self._sockets, self._retired):
            if sock in sockets:
                sockets.remove(sock)

    def close(self) -> None:
        """Close every socket."""
        for sock in self._sockets + self._retired:
            sock.close()
        self._sockets.clear()
        self._retired.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None
