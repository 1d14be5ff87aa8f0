"""One request and its answer: headers out, status and body back, told to a `Conversation`.

Owns: what answers other than 200 JSON become, bounded bodies, dropping a connection whose peer
hangs. Refuses to know what bodies mean, credentials, and connections.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol as TwistedProtocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from k8sdns import __version__
from k8sdns.cluster.statuses import MAX_BODY, Status, read_status
from k8sdns.cluster.streams import StreamError

if TYPE_CHECKING:
    from k8sdns.cluster.client import ApiClient
    from k8sdns.cluster.tokens import Grant

REFUSAL_WITHIN = 10.0
"""Seconds for the body of an answer other than 200."""
JSON = "application/json"
USER_AGENT = f"k8sdns/{__version__} ({platform.system().lower()}/{platform.machine()})"


class Conversation(Protocol):
    """Is told how one request goes: `refused` or `unreachable`, or `opened` and then the rest."""

    def opened(self) -> None:
        """HTTP 200 came, with JSON to follow."""

    def received(self, octets: bytes) -> None:
        """A part of the body came; may raise `StreamError`, which ends the request."""

    def ended(self, why: str) -> None:
        """The body is over, whole or not."""

    def refused(self, status: Status, retry_after: float | None) -> None:
        """Another answer than 200 came."""

    def unreachable(self, why: str) -> None:
        """No answer came, or the request could not be made."""


class Exchange:
    """One request in flight, until its body is over or it is abandoned."""

    def __init__(
        self, client: ApiClient, url: bytes, conversation: Conversation, accept: str = JSON
    ) -> None:
        self._client = client
        self._url = url
        self._accept = accept
        self._conversation: Conversation | None = conversation
        self._asking: Deferred[None] | None = None
        self._body: _Body | None = None

    def start(self) -> None:
        """Send the request. The conversation may be told of a failure before this returns."""
        self._asking = Deferred.fromCoroutine(self._converse())

    def abandon(self) -> None:
        """Drop the request and its connection; the conversation is told nothing more."""
        self._conversation = None
        if self._body is not None:
            self._body.stop()
        if self._asking is not None:
            self._asking.cancel()

    async def _converse(self) -> None:
        try:
            response, grant = await self._client.ask(self._url, self._headers())
            if response.code == 200:
                self._open(response)
            else:
                await self._refuse(response, grant)
        except CancelledError:
            self._unreachable("cancelled")
        except Exception as error:  # noqa: BLE001 - a request may fail in any layer's way
            self._unreachable(reason_of(error))

    def _headers(self) -> Headers:
        # Not gzip: 16 KiB of it are 100 objects at once, against 5 here, and no less work in all.
        return Headers({"User-Agent": [USER_AGENT], "Accept": [self._accept]})

    def _open(self, response: Any) -> None:
        if not _first(response, b"content-type").startswith("application/json"):
            _drop(response)
            self._tell_refusal(Status(message="HTTP 200 with something other than JSON"), None)
            return
        conversation = self._conversation
        if conversation is None:
            _drop(response)
            return
        conversation.opened()
        self._body = _Body(self._received, self._ended)
        response.deliverBody(self._body)

    async def _refuse(self, response: Any, grant: Grant) -> None:
        if response.code == 401:
            self._client.rejected(grant)
        body = await _BoundedBody().of(response, self._client.reactor)
        retry_after = seconds_of(_first(response, b"retry-after"))
        self._tell_refusal(read_status(response.code, body), retry_after)

    def _tell_refusal(self, status: Status, retry_after: float | None) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.refused(status, retry_after)

    def _unreachable(self, why: str) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.unreachable(why)

    def _received(self, octets: bytes) -> None:
        conversation = self._conversation
        if conversation is None:
            return
        try:
            conversation.received(octets)
        except StreamError as error:
            self.abandon()
            conversation.refused(Status(message=str(error)), None)

    def _ended(self, why: str) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.ended(why)


class _Body(TwistedProtocol):
    """Hands a body over, part by part, and can drop its connection even if the peer hangs."""

    transport: Any = None

    def __init__(self, received: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._received = received
        self._ended = ended

    def dataReceived(self, data: bytes) -> None:
        self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended("" if reason.check(ResponseDone) else reason_of(reason.value))

    def stop(self) -> None:
        """Close the connection at once; loseConnection would wait for the peer's TLS close."""
        if self.transport is not None:
            self.transport.stopProducing()


class _BoundedBody:
    """Collects at most `MAX_BODY` octets of a body, and no longer than `REFUSAL_WITHIN`."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self._done: Deferred[None] = Deferred()
        self._body = _Body(self._received, lambda _: self._finish())

    async def of(self, response: Any, clock: Any) -> bytes:
        """Return what came in time of the body of `response`."""
        response.deliverBody(self._body)
        deadline = clock.callLater(REFUSAL_WITHIN, self._cut_short)
        try:
            await self._done
        except CancelledError:
            self._body.stop()
            raise
        finally:
            if deadline.active():
                deadline.cancel()
        return bytes(self._octets[:MAX_BODY])

    def _received(self, octets: bytes) -> None:
        self._octets += octets
        if len(self._octets) > MAX_BODY:
            self._cut_short()

    def _cut_short(self) -> None:
        self._body.stop()
        self._finish()

    def _finish(self) -> None:
        if not self._done.called:
            self._done.callback(None)


def reason_of(error: BaseException | None) -> str:
    """Return the cause of a failed request in words; Agent hides it in lists of failures."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return reason_of(reasons[0].value)
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text[:300])


def seconds_of(retry_after: str) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110 §10.2.3), or None if it has none."""
    if retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _first(response: Any, name: bytes) -> str:
    values = response.headers.getRawHeaders(name)
    return values[0].decode("latin-1").strip().lower() if values else ""


def _drop(response: Any) -> None:
    """Close the connection of a response whose body nobody wants."""
    body = _Body(lambda _: body.stop(), lambda _: None)
    response.deliverBody(body)
    body.stop()
