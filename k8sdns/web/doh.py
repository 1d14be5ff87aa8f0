"""DNS over HTTPS: queries as HTTP requests, over HTTP/1.1 and HTTP/2 (RFC 8484).

Owns what an HTTP request means, and what HTTP says about the reply. Connections are counted and
timed by the listener's table of streams, as those of plain TCP are. Refuses to know certificates:
the TLS around it, or a proxy's, is somebody else's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from k8sdns import records
from k8sdns.errors import WireError
from k8sdns.wire.message import parse

PATH: Final = b"/dns-query"
MAX_CONNECTIONS: Final = 200  # of one listener, as CoreDNS has it
MAX_IN_FLIGHT: Final = 128  # queries of one connection that wait, those of reset streams included
MAX_MESSAGE: Final = 65535  # octets
UNKNOWN_AGE: Final = 5  # seconds that a reply without records may be kept
MAX_AGE: Final = 3600

Address: TypeAlias = tuple[Any, ...]
Respond: TypeAlias = "Callable[[bytes, Address, Address], Any]"
Count: TypeAlias = Callable[[int], None]


class StreamTable(Protocol):
    """The listener's table of streams, as `k8sdns.server.stream.Streams` is one."""

    def has_room(self) -> bool: ...
    def opened(self, stream: Any) -> None: ...
    def was_active(self, stream: Any) -> None: ...
    def closed(self, stream: Any) -> None: ...


class DohRequest(http.Request):
    """One query; its body is kept as far as it can be a message."""

    connection: DohConnection

    def __init__(self, channel: Any, queued: bool = False) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self.is_gone = False

    def gotLength(self, _length: int | None) -> None:
        """Keep the body in memory, whatever length was announced."""
        super().gotLength(0)  # type: ignore[no-untyped-call]

    def handleContentChunk(self, data: bytes) -> None:
        """Keep no more octets than a message has, and one that shows that there were more."""
        body: Any = self.content
        body.write(data[: MAX_MESSAGE + 1 - body.tell()])

    def connectionLost(self, reason: Failure) -> None:
        """The client went away."""
        self.is_gone = True
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def process(self) -> None:
        """Answer the query."""
        if self.path != PATH:
            self.say(404, b"404 page not found\n")
            return
        message = self._message()
        if not message or len(message) > MAX_MESSAGE:
            self.say(400, b"invalid request\n")
            return
        self.connection.ask(self, message)

    def _message(self) -> bytes | None:
        """Return the query (RFC 8484 §4.1), None if there is none."""
        if self.method == b"POST":
            body: Any = self.content
            octets: bytes = body.read()
            return octets
        values = self.args.get(b"dns", [])
        if self.method != b"GET" or len(values) != 1 or b"=" in values[0]:
            return None
        padding = b"=" * (-len(values[0]) % 4)
        try:
            return base64.b64decode(values[0] + padding, altchars=b"-_", validate=True)
        except binascii.Error:
            return None

    def answered(self, reply: bytes) -> None:
        """Send a reply."""
        if len(reply) <= 12:
            self.say(400, b"invalid request\n")  # rejected before anybody was asked
            return
        self.responseHeaders.setRawHeaders(b"cache-control", [b"max-age=%d" % freshness(reply)])
        self.say(200, reply, b"application/dns-message")

    def say(
        self, status: int, body: bytes, content_type: bytes = b"text/plain; charset=utf-8"
    ) -> None:
        """Send a response and be done."""
        self.connection.count(status)
        if self.is_gone:
            return
        response: Any = self
        response.setResponseCode(status)
        response.setHeader(b"content-type", content_type)
        response.setHeader(b"content-length", b"%d" % len(body))
        response.setHeader(b"x-content-type-options", b"nosniff")
        response.write(body)
        response.finish()


def freshness(reply: bytes) -> int:
    """Return how many seconds HTTP caches may keep `reply`: its smallest TTL (RFC 8484 §5.1)."""
    try:
        message = parse(reply)
    except WireError:
        return UNKNOWN_AGE
    if message.rcode not in {records.NOERROR, records.NXDOMAIN}:
        return UNKNOWN_AGE
    sections = (*message.answer, *message.authority, *message.additional)
    return min((min(record.ttl, MAX_AGE) for record in sections), default=UNKNOWN_AGE)


class DohConnection(ProtocolWrapper):
    """One connection with any number of requests; a row of the listener's table of streams."""

    factory: DohFactory

    def __init__(self, factory: DohFactory, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self.in_flight = 0
        self.deadline = 0.0
        self.count = factory.count
        self._respond = factory.respond
        self._streams = factory.streams
        wrapped.requestFactory = self._request

    def _request(self, channel: Any, queued: bool = False) -> DohRequest:
        request = DohRequest(channel, queued)
        request.connection = self
        return request

    def belong_to(self, streams: StreamTable, respond: Respond) -> None:
        """Have another server answer from the next query on."""
        self._streams = streams
        self._respond = respond

    def connectionMade(self) -> None:
        """Take a row of the table."""
        self._streams.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Give the row back."""
        self._streams.closed(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def has_expired(self, now: float) -> bool:
        """Tell whether the client used up its time; one that waits for us has no deadline."""
        return now >= self.deadline and not self.in_flight

    def abort(self) -> None:
        """End the connection at once."""
        self._streams.closed(self)
        transport: Any = self.transport
        transport.abortConnection()

    def close(self) -> None:
        """End the connection once what was written is out."""
        self._streams.closed(self)
        self.loseConnection()  # type: ignore[no-untyped-call]

    def ask(self, request: DohRequest, message: bytes) -> None:
        """Answer one query of this connection."""
        if self.in_flight >= MAX_IN_FLIGHT:
            request.say(503, b"too many queries at once\n")
            return
        self._streams.was_active(self)
        transport: Any = self.transport
        peer, here = _address(transport.getPeer()), _address(transport.getHost())
        reply = self._respond(message, peer, here)
        if isinstance(reply, Deferred):
            self.in_flight += 1
            reply.addBoth(self._waited_for, request)
        else:
            self._answered(reply, request, message)

    def _waited_for(self, reply: Any, request: DohRequest) -> None:
        self.in_flight -= 1
        self._answered(None if isinstance(reply, Failure) else reply, request)
        if not request.is_gone:
            self._streams.was_active(self)

    def _answered(self, reply: Any, request: DohRequest, message: bytes = b"") -> None:
        if isinstance(reply, bytes):
            request.answered(reply)
        elif reply is not None:
            request.say(400, b"zones are not transferred over HTTPS\n")
        elif message and (len(message) < 12 or message[2] & 0x80):
            request.say(400, b"invalid request\n")  # no query at all
        else:
            request.say(500, b"No response\n")  # silence on purpose: an acl that drops


def _address(found: Any) -> Address:
    return getattr(found, "host", ""), getattr(found, "port", 0)


class _Http(http.HTTPFactory):
    """Twisted's HTTP, both versions, without an access log and its clock."""

    noisy = False

    def log(self, request: Any) -> None:
        """Queries are logged as queries, by `log`."""


@implementer(IProtocolNegotiationFactory)
class DohFactory(WrappingFactory[DohConnection]):
    """Makes the connections of one listener.

    `respond(message, client's address, ours)` returns a reply's octets, None for silence, what
    yields several messages, or a Deferred of these. `count` is told the status of each response.
    """

    noisy = False
    protocol = DohConnection

    def __init__(
        self, respond: Respond, streams: StreamTable, count: Count, clock: IReactorTime
    ) -> None:
        # The table of streams does the timing, for both versions alike.
        super().__init__(_Http(timeout=None, reactor=clock))  # type: ignore[no-untyped-call, arg-type]
        self.respond = respond
        self.streams = streams
        self.count = count

    def buildProtocol(self, address: IAddress | None) -> Any:
        """Return the protocol of one connection, None if there is no room for it."""
        return super().buildProtocol(address) if self.streams.has_room() else None

    def acceptableProtocols(self) -> list[bytes]:
        """Return the ALPN names of what is spoken; HTTP/2 needs the extra ``k8sdns[https]``."""
        return [b"h2", b"http/1.1"] if http.H2_ENABLED else [b"http/1.1"]
