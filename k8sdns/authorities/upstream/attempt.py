"""One question to one upstream, until it is answered or given up.

Owns the way from UDP to TCP: a truncated reply is asked for again over TCP, and so is one that
casts doubt, while UDP goes on being waited for: a forger can cost us a connection, but neither
end the query nor put words into it (RFC 5452, RFC 7766 §5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from k8sdns import records
from k8sdns.answers import TC, Answer
from k8sdns.authorities.upstream.failure import UpstreamFailure, reason_of
from k8sdns.authorities.upstream.query import Query
from k8sdns.authorities.upstream.reply import read_reply
from k8sdns.errors import WireError
from k8sdns.wire.reader import HEADER_OCTETS

if TYPE_CHECKING:
    from k8sdns.authorities.upstream.stream import StreamConnection
    from k8sdns.authorities.upstream.udp import DatagramSocket
    from k8sdns.authorities.upstream.upstream import Upstream

_NO_RECORDS = bytes(6)
_REJECTING = (records.FORMERR, records.NOTIMP)

Outcome: TypeAlias = "Answer | UpstreamFailure"


class Asker(Protocol):
    """Who started an attempt."""

    def ended(self, attempt: Attempt, outcome: Outcome, /) -> None:
        """The attempt is over; called once."""


class Attempt:
    """A query on its way, from `Upstream.ask` until the asker's `ended` is called."""

    __slots__ = (
        "_asker", "_over_stream", "_truncated", "datagram_id", "datagram_socket", "is_over",
        "query", "started", "stream", "stream_id", "stream_tries", "upstream",
    )  # fmt: skip

    def __init__(self, upstream: Upstream, query: Query, asker: Asker) -> None:
        self.upstream = upstream
        self.query = query
        self.started = upstream.now()
        self.is_over = False
        self.datagram_socket: DatagramSocket | None = None
        self.datagram_id = 0
        self.stream: StreamConnection | None = None
        self.stream_id = 0
        self.stream_tries = 0
        self._asker = asker
        self._over_stream = False
        self._truncated: Answer | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the attempt began."""
        return self.upstream.now() - self.started

    def over_datagram(self) -> None:
        """Ask over UDP."""
        self.upstream.waitlist.add(self)
        try:
            self.upstream.datagrams.ask(self, self.query.rest, self.upstream.now())
        except OSError as error:
            self.not_sent(error)

    def not_sent(self, error: OSError) -> None:
        """The system would not take the datagram."""
        self.datagram_socket = None
        self._fail("udp", "send", reason_of(error))

    def over_stream(self) -> None:
        """Ask over TCP or TLS."""
        self._over_stream = True
        self.upstream.waitlist.add(self)
        self.upstream.streams.ask(self)

    def datagram_came(self, message: bytes) -> None:
        """A datagram with our id came from the upstream's address."""
        if self._rejects_edns(message):
            self._forget_datagram()
            self.query = self.query.without_edns()
            self.over_datagram()
            return
        answer = self._read(message)
        if answer is None:
            socket = self.datagram_socket
            if socket is not None:
                socket.mismatched()
            self.doubt()
        elif answer.flags & TC:
            self._forget_datagram()
            self._truncated = answer
            if not self._over_stream:
                self.over_stream()
        else:
            self._end(answer)

    def _read(self, message: bytes) -> Answer | None:
        """Return the Answer that `message` is to our question, or None."""
        if not self.query.is_answered_by(message):
            return None
        try:
            return read_reply(message, self.query.wire)
        except WireError:
            return None

    def _rejects_edns(self, message: bytes) -> bool:
        """Tell whether an old server tripped over our OPT record (RFC 6891 §7)."""
        return (
            len(message) >= HEADER_OCTETS
            and message[3] & 0xF in _REJECTING
            and message[2] & 0x80 != 0
            and message[6:12] == _NO_RECORDS
            and self.query.has_edns
        )

    def doubt(self) -> None:
        """Somebody may be forging: ask over TCP as well."""
        if not self._over_stream and not self.is_over:
            self.over_stream()

    def datagram_lost(self, phase: str, reason: str) -> None:
        """UDP will bring nothing any more."""
        self.datagram_socket = None
        if not self._over_stream:
            self._fail("udp", phase, reason)

    def stream_came(self, message: bytes) -> None:
        """A message with our id came over our connection: nobody can have forged it."""
        if self._rejects_edns(message):
            self.query = self.query.without_edns()
            self.over_stream()
            return
        answer = self._read(message)
        if answer is None:
            # CoreDNS tells the client FORMERR; another upstream would not know better.
            self.upstream.mismatches += 1
            answer = Answer(rcode=records.FORMERR)
        self._end(answer)

    def stream_lost(self, phase: str, reason: str) -> None:
        """The connection will bring nothing any more."""
        self.stream = None
        if self._truncated is not None:
            self._end(self._truncated)  # the client may have a way of its own to the rest
        elif self.datagram_socket is None:
            self._fail(self.upstream.stream_transport, phase, reason)

    def timed_out(self) -> None:
        """Called by the waitlist."""
        self.upstream.timeouts += 1
        if self.stream is not None:
            stream, self.stream = self.stream, None
            stream.forget(self)
            stream.did_not_answer()
        if self._truncated is not None:
            self._end(self._truncated)
            return
        transport = self.upstream.stream_transport if self._over_stream else "udp"
        self._fail(transport, "wait", "i/o timeout")

    def closed(self) -> None:
        """The upstream was closed under us: there will be no reply."""
        transport = self.upstream.stream_transport if self._over_stream else "udp"
        self._fail(transport, "wait", "the upstream is asked no longer")

    def _fail(self, transport: str, phase: str, reason: str) -> None:
        to = self.upstream.name
        self._end(UpstreamFailure(to, transport, phase, reason, self.elapsed))

    def _end(self, outcome: Outcome) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.upstream.waitlist.remove(self)
        self._forget_datagram()
        if self.stream is not None:
            self.stream.forget(self)
            self.stream = None
        self.upstream.ended()
        self._asker.ended(self, outcome)

    def _forget_datagram(self) -> None:
        if self.datagram_socket is not None:
            self.datagram_socket.forget(self)
            self.datagram_socket = None


def resumed(upstream: Upstream, query: Query, asker: Asker, started: float) -> Attempt:
    """Return what goes on with an attempt that the asker began by itself, over UDP."""
    attempt = Attempt(upstream, query, asker)
    attempt.started = started
    return attempt
