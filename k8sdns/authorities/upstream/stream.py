"""TCP and TLS towards one upstream: few warm connections, many queries on each (RFC 7766 §6.2).

Owns framing, pipelining and the age of connections. Which message answers which attempt is
decided by the id alone; the attempt looks at the question.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from k8sdns.authorities.upstream.destination import Destination
from k8sdns.authorities.upstream.failure import reason_of
from k8sdns.authorities.upstream.network import Network
from k8sdns.authorities.upstream.randomness import Randomness

if TYPE_CHECKING:
    from k8sdns.authorities.upstream.attempt import Attempt

MAX_CONNECTIONS = 8
CROWDED = 8  # queries in flight on the emptiest connection, before another is opened
MAX_IN_FLIGHT = 1000  # on one connection
MAX_SILENCES = 3  # queries in a row that a connection left unanswered, before it is given up
MAX_TRIES = 2  # connections that one attempt may use up
MAX_IDS = 16_384  # taken on one connection, late replies' included, before it is retired
SWEEP_SECONDS = 1.0
TOGETHER = 16  # attempts that a lost connection passes on in one turn of the reactor
_LENGTH = struct.Struct("!H")


class StreamConnection(Protocol):
    """One connection and the attempts that wait on it; those that came before it was up queue."""

    def __init__(self, pool: StreamPool, now: float) -> None:
        self._pool = pool
        self._attempts: dict[int, Attempt | None] = {}
        self._queued: list[Attempt] = []
        self._buffer = b""
        self._silences = 0
        self._replies = 0
        self.is_up = False
        self.is_down = False
        self.in_flight = 0
        self.opened_at = now
        self.used_at = now
        self.dialled: Any = None

    def ask(self, attempt: Attempt) -> None:
        """Send the attempt's query, or as soon as the connection is up."""
        attempt.stream = self
        attempt.stream_tries += 1
        self.in_flight += 1
        if self.is_up:
            self._send(attempt)
        else:
            self._queued.append(attempt)

    def _send(self, attempt: Attempt) -> None:
        number = self._pool.randomness.number
        id_ = number()
        while id_ in self._attempts:
            id_ = number()
        self._attempts[id_] = attempt
        attempt.stream_id = id_
        if len(self._attempts) >= MAX_IDS:
            self._pool.retire(self)
        message = attempt.query.octets(id_)
        transport: Any = self.transport
        transport.write(_LENGTH.pack(len(message)) + message)

    def forget(self, attempt: Attempt) -> None:
        """The attempt is over; the id stays taken, should the reply come late."""
        self.in_flight -= 1
        if self._attempts.get(attempt.stream_id) is attempt:
            self._attempts[attempt.stream_id] = None
        elif attempt in self._queued:
            self._queued.remove(attempt)

    def did_not_answer(self) -> None:
        """An attempt timed out here; several in a row show a connection that leads nowhere."""
        self._silences += 1
        if self._silences >= MAX_SILENCES or not self.is_up:
            self._pool.retire(self)
            if not self.in_flight:
                self.close()

    def connectionMade(self) -> None:
        transport: Any = self.transport
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        self.is_up = True
        queued, self._queued = self._queued, []
        for attempt in queued:
            self._send(attempt)

    def dataReceived(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while len(buffer) - at >= 2:
            end = at + 2 + _LENGTH.unpack_from(buffer, at)[0]
            if end > len(buffer):
                break
            self._take(buffer[at + 2 : end])
            at = end
        self._buffer = buffer[at:]

    def _take(self, message: bytes) -> None:
        self._silences = 0
        self._replies += 1
        if len(message) < 2:
            return
        attempt = self._attempts.pop(message[0] << 8 | message[1], None)
        if attempt is not None:
            self.in_flight -= 1
            attempt.stream = None
            self._pool.was_used(self)
            attempt.stream_came(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.went_down("read" if self._replies or self._pool.tls is None else "tls", reason)

    def went_down(self, phase: str, reason: Failure) -> None:
        """The connection is no more, or never was: its attempts go elsewhere."""
        self.is_down = True
        self._buffer = b""
        self._pool.dropped(self)
        waiting = [each for each in self._attempts.values() if each is not None] + self._queued
        self._attempts.clear()
        self._queued.clear()
        self.in_flight = 0
        for attempt in waiting:
            attempt.stream = None
        self._pass_on(waiting, phase, _text_of(reason))

    def _pass_on(self, waiting: list[Attempt], phase: str, text: str) -> None:
        """Have attempts go elsewhere, some in this turn of the reactor, the others in the next."""
        if len(waiting) > TOGETHER:
            self._pool.later(self._pass_on, waiting[TOGETHER:], phase, text)
        for attempt in waiting[:TOGETHER]:
            if attempt.is_over:  # its time was up meanwhile
                continue
            if phase == "read" and attempt.stream_tries < MAX_TRIES:
                # Servers close connections when they like (RFC 7766 §6.2.4): that is no failure.
                self._pool.ask(attempt)
            else:
                attempt.stream_lost(phase, text)

    def close(self) -> None:
        """End the connection."""
        if self.dialled is not None and not self.is_up:
            self.dialled.cancel()
        elif not self.is_down and self.transport is not None:
            self.transport.loseConnection()


def _text_of(reason: Failure) -> str:
    error: Any = reason.value
    if reason.check(
        "service_identity.exceptions.VerificationError", "service_identity.VerificationError"
    ):
        return "the certificate is for another name (see tls_servername)"
    if reason.check("OpenSSL.SSL.Error") and error.args and error.args[0]:
        return str(error.args[0][0][-1])
    return reason_of(getattr(error, "osError", None) or error).removesuffix(".")


class StreamPool:
    """The connections of one upstream."""

    def __init__(
        self,
        destination: Destination,
        network: Network,
        clock: IReactorTime,
        randomness: Randomness,
        *,
        tls: Any = None,
        idle_seconds: float = 10.0,
        max_age_seconds: float = 0.0,
        max_idle: int = 0,
    ) -> None:
        self.destination = destination
        self.randomness = randomness
        self.tls = tls
        self.opened = 0
        self.reused = 0
        self._network = network
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._max_age_seconds = max_age_seconds
        self._max_idle = max_idle
        self._connections: list[StreamConnection] = []  # that take new queries
        self._retired: list[StreamConnection] = []
        self._call: IDelayedCall | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._connections)

    def ask(self, attempt: Attempt) -> None:
        """Send the attempt's query over the emptiest connection, or a new one."""
        if self._is_closed:
            attempt.stream_lost("send", "the server is going away")
            return
        connections = self._connections
        emptiest = min(connections, key=_in_flight, default=None)
        crowded = emptiest is not None and emptiest.in_flight >= CROWDED
        if emptiest is None or (crowded and len(connections) < MAX_CONNECTIONS):
            connection = self._dialled()
            connection.ask(attempt)
            self._dial(connection)
            return
        if emptiest.in_flight >= MAX_IN_FLIGHT:
            attempt.stream_lost("send", f"{MAX_IN_FLIGHT} queries wait on every connection")
            return
        self.reused += 1
        emptiest.used_at = self._clock.seconds()
        emptiest.ask(attempt)

    def _dialled(self) -> StreamConnection:
        connection = StreamConnection(self, self._clock.seconds())
        self._connections.append(connection)
        self.opened += 1
        if self._call is None:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)
        return connection

    def _dial(self, connection: StreamConnection) -> None:
        factory = Factory.forProtocol(lambda: connection)
        factory.noisy = False
        dialled = self._network.dial(self.destination, factory, self.tls)
        connection.dialled = dialled
        dialled.addErrback(self._not_connected, connection)

    def _not_connected(self, reason: Failure, connection: StreamConnection) -> None:
        if not connection.is_down:
            connection.went_down("connect", reason)

    def later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call in the next turn of the reactor."""
        self._clock.callLater(0, call, *arguments)

    def was_used(self, connection: StreamConnection) -> None:
        """A reply came."""
        connection.used_at = self._clock.seconds()

    def retire(self, connection: StreamConnection) -> None:
        """Give it no more queries."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._retired.append(connection)

    def dropped(self, connection: StreamConnection) -> None:
        """A connection went down."""
        for connections in (self._connections, self._retired):
            if connection in connections:
                connections.remove(connection)

    def _sweep(self) -> None:
        self._call = None
        now = self._clock.seconds()
        for connection in [each for each in self._connections if self._is_too_old(each, now)]:
            self.retire(connection)
        idle = [each for each in self._connections if not each.in_flight and each.is_up]
        surplus = idle[self._max_idle :] if self._max_idle else []
        for connection in idle:
            if connection in surplus or connection.used_at + self._idle_seconds <= now:
                self.retire(connection)
        for connection in [each for each in self._retired if not each.in_flight]:
            connection.close()
        if self._connections or self._retired:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def _is_too_old(self, connection: StreamConnection, now: float) -> bool:
        return bool(self._max_age_seconds) and connection.opened_at + self._max_age_seconds <= now

    def close(self) -> None:
        """Close every connection, for good."""
        self._is_closed = True
        for connection in self._connections + self._retired:
            connection.close()
        self._connections.clear()
        self._retired.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None


def _in_flight(connection: StreamConnection) -> int:
    return connection.in_flight
