"""DNS over streams: framing, pipelining, and bounds on what one peer can hold (RFC 7766).

Owns connections and their timeouts. A connection's queries are answered as they become ready;
what was ready at once leaves in one write, past the transport's own buffer, which would wait for
the reactor's next turn and change what the kernel watches twice. Refuses to know what a message
says.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

Reply: TypeAlias = "bytes | Iterator[bytes] | None"
Respond: TypeAlias = Callable[[bytes, tuple[Any, ...], tuple[Any, ...]], "Reply | Deferred[Any]"]

_LENGTH = struct.Struct("!H")
SWEEP_SECONDS = 1.0
MAX_GATHERED_OCTETS = 16_384  # of replies that wait for one write


class StreamLimits(NamedTuple):
    """Bounds of stream connections; times in seconds, as CoreDNS's defaults where it has any."""

    connections: int = 5000
    in_flight: int = 64  # queries of one connection that wait for their answer
    first_message_after: float = 3.0
    idle_after: float = 10.0
    write_after: float = 5.0  # how long a peer may leave our replies unread
    messages: int = -1  # queries a connection may ask; -1: any number


class Streams:
    """The stream connections of one listener, the longest idle first."""

    def __init__(self, clock: IReactorTime, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self._clock = clock
        self._open: OrderedDict[DNSStream, float] = OrderedDict()
        self._call: IDelayedCall | None = None
        self.turned_away = 0

    def __len__(self) -> int:
        return len(self._open)

    def protocol(self, respond: Respond) -> DNSStream | None:
        """Return a protocol for a new connection, or None if there is no room for it."""
        return DNSStream(respond, self) if self.has_room() else None

    def has_room(self) -> bool:
        """Tell whether one more may come; the oldest idle one makes room if it must."""
        if len(self._open) < self.limits.connections or self._make_room():
            return True
        self.turned_away += 1
        return False

    def _make_room(self) -> bool:
        for stream in self._open:
            if not stream.in_flight:
                stream.abort()
                return True
        return False

    def opened(self, stream: DNSStream) -> None:
        """A connection was made; its first message is awaited."""
        limits = self.limits
        # The order of the table is by activity; a first message has less time than a later one,
        # so its activity counts as the earlier.
        self._open[stream] = self._clock.seconds()
        stream.deadline = self._clock.seconds() + limits.first_message_after
        if self._call is None:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def was_active(self, stream: DNSStream) -> None:
        """A whole message came, or a reply left."""
        if stream in self._open:
            now = self._clock.seconds()
            self._open[stream] = now
            self._open.move_to_end(stream)
            stream.deadline = now + self.limits.idle_after

    def is_stuck(self, stream: DNSStream) -> None:
        """The peer does not read: it has this long to go on."""
        stream.deadline = self._clock.seconds() + self.limits.write_after

    def closed(self, stream: DNSStream) -> None:
        """A connection is gone."""
        self._open.pop(stream, None)

    def _sweep(self) -> None:
        self._call = None
        now = self._clock.seconds()
        for stream in [each for each in self._open if each.has_expired(now)]:
            stream.abort()
        if self._open:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def take_over(self, others: Streams, respond: Respond) -> None:
        """Go on with the connections of another listener's table: a reload ends none of them."""
        for stream, active_at in others.release():
            self._open[stream] = active_at
            stream.belong_to(self, respond)
        if self._open and self._call is None:
            self._call = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    def release(self) -> list[tuple[DNSStream, float]]:
        """Let go of every connection, without ending any; return them and when they were active."""
        released = list(self._open.items())
        self._open.clear()
        return released

    def close_all(self) -> None:
        """End every connection: the server is going away."""
        for stream in list(self._open):
            stream.close()
        if self._call is not None:
            self._call.cancel()
            self._call = None


@implementer(IPushProducer)
class DNSStream(Protocol):
    """One connection: two octets of length before every message (RFC 1035 §4.2.2)."""

    def __init__(self, respond: Respond, streams: Streams) -> None:
        self._respond = respond
        self._streams = streams
        self._buffer = b""
        self._asked = 0
        self._reading = True
        self._is_taking = False
        self._peer_reads = True
        self._gone = False
        self._transfers: deque[Iterator[bytes]] = deque()
        self._gathered: list[bytes] = []
        self._gathered_octets = 0
        self._write_some: Callable[[bytes], Any] | None = None
        self.in_flight = 0
        self.deadline = 0.0
        self._address: tuple[Any, ...] = ("", 0)
        self._local: tuple[Any, ...] = ("", 0)

    def belong_to(self, streams: Streams, respond: Respond) -> None:
        """Have another server answer from the next message on."""
        self._streams = streams
        self._respond = respond

    def connectionMade(self) -> None:
        transport: Any = self.transport
        peer, local = transport.getPeer(), transport.getHost()
        self._address = (getattr(peer, "host", ""), getattr(peer, "port", 0))
        self._local = (getattr(local, "host", ""), getattr(local, "port", 0))
        if hasattr(transport, "setTcpNoDelay"):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        # Asked of the class: a wrapper that encrypts passes on the attributes of what it wraps.
        if hasattr(type(transport), "writeSomeData") and not getattr(transport, "TLS", False):
            self._write_some = transport.writeSomeData
        self._streams.opened(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        self._take_messages()

    def _take_messages(self) -> None:
        """Answer the whole messages in the buffer, as many as may be in flight."""
        if self._is_taking:
            return  # an answer that was there at once: the loop below goes on by itself
        self._is_taking = True
        at = 0
        buffer = self._buffer
        try:
            while len(buffer) - at >= 2 and self._may_ask():
                end = at + 2 + _LENGTH.unpack_from(buffer, at)[0]
                if end > len(buffer):
                    break
                message = buffer[at + 2 : end]
                at = end
                self._ask(message)
        finally:
            self._is_taking = False
        if at:
            self._buffer = buffer[at:]
            self._streams.was_active(self)
        self._flush()
        self._end_if_done()
        self._pace()

    def _may_ask(self) -> bool:
        limits = self._streams.limits
        return (
            not self._gone
            and self._peer_reads
            and self.in_flight < limits.in_flight
            and self._asked != limits.messages
        )

    def _ask(self, message: bytes) -> None:
        self._asked += 1
        reply = self._respond(message, self._address, self._local)
        if isinstance(reply, bytes):
            self._gather(reply)
        elif isinstance(reply, Deferred):
            self.in_flight += 1
            reply.addBoth(self._answered)
        elif reply is not None:
            self._send(reply)

    def _end_if_done(self) -> None:
        """After the last query that it may ask, the connection ends with the last reply."""
        if self._asked == self._streams.limits.messages and not self.in_flight and not self._gone:
            self.close()

    def _answered(self, reply: bytes | Iterator[bytes] | Failure | None) -> None:
        self.in_flight -= 1
        if self._gone:
            return
        if reply is not None and not isinstance(reply, Failure):
            self._send(reply)
        self._streams.was_active(self)
        if self._buffer:
            self._take_messages()
        else:
            self._pace()
        self._end_if_done()

    def _send(self, reply: bytes | Iterator[bytes]) -> None:
        if isinstance(reply, bytes):
            self._gather(reply)
            if not self._is_taking:
                self._flush()
        else:
            self.in_flight += 1
            self._transfers.append(reply)
            self._send_transfers()

    def _gather(self, reply: bytes) -> None:
        self._gathered += (_LENGTH.pack(len(reply)), reply)
        self._gathered_octets += len(reply)
        if self._gathered_octets > MAX_GATHERED_OCTETS:
            self._flush()

    def _flush(self) -> None:
        """Write what was gathered, at once where nothing else waits to be written."""
        if not self._gathered or self._gone:
            return
        octets = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_octets = 0
        if self._write_some is not None:
            written = self._write_some(octets)
            if written == len(octets):
                return
            # A lost connection is an exception; the transport meets it again, and ends.
            if isinstance(written, int):
                octets = octets[written:]
        self._queue(octets)

    def _queue(self, octets: bytes) -> None:
        """Have the transport write, and everything behind this too: nothing may overtake it."""
        self._write_some = None
        transport: Any = self.transport
        transport.write(octets)

    def _send_transfers(self) -> None:
        """Go on with zone transfers for as long as the peer takes their messages."""
        while self._transfers and self._peer_reads and not self._gone:
            message = next(self._transfers[0], None)
            if message is not None:
                self._flush()
                self._queue(_LENGTH.pack(len(message)) + message)
            else:
                self._transfers.popleft()
                self.in_flight -= 1

    def _pace(self) -> None:
        """Read on only while there is room for what is read."""
        if self._gone:
            return
        may_read = self._may_ask()
        if may_read != self._reading:
            self._reading = may_read
            transport: Any = self.transport
            if may_read:
                transport.resumeProducing()
            else:
                transport.pauseProducing()

    def pauseProducing(self) -> None:
        """The peer does not read our replies: take no more queries from it."""
        self._peer_reads = False
        self._streams.is_stuck(self)
        self._pace()

    def resumeProducing(self) -> None:
        """Our replies are on their way again."""
        self._peer_reads = True
        self._streams.was_active(self)
        self._send_transfers()
        self._take_messages()
        self._end_if_done()

    def stopProducing(self) -> None:
        """The connection is being closed."""
        self._gone = True

    def has_expired(self, now: float) -> bool:
        """Tell whether the peer used up its time; one that waits for our answer has no deadline."""
        return now >= self.deadline and not (self.in_flight and self._peer_reads)

    def close(self) -> None:
        """End the connection once what was written is out."""
        self._flush()
        self._gone = True
        transport: Any = self.transport
        transport.unregisterProducer()
        transport.loseConnection()

    def abort(self) -> None:
        """End the connection at once."""
        self._gone = True
        self._streams.closed(self)
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - Twisted's signature
        self._gone = True
        self._buffer = b""
        self._transfers.clear()
        self._streams.closed(self)
