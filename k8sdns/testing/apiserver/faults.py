"""Everything that can go wrong between a client and an API server, on purpose.

Owns: which requests are to fail, how, and how often; a connection that cuts, stalls or drips.
Refuses to know: objects and watches (a stream's own faults are `WatchStream.raw`, `.fail`,
`.finish`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from k8sdns.testing.apiserver.memory import MemoryTransport
from k8sdns.testing.apiserver.statuses import ApiError, too_many_requests

How = Literal["reset", "close"]
End = Literal["reset", "close", "stall"]

BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\r\n"


@dataclass
class Fault:
    """One thing to go wrong with the next `times` matching requests (None: with all of them).

    `verb` is "list", "watch", "get"…, `resource` a plural; None matches any.
    Either `code` (an answer instead of the real one) or a plan for the real answer's bytes:
    `after` bytes of the response (headers included) are let through, then `how` comes: "reset",
    "close", or "stall" (the socket stays open and silent). `drip` (bytes a second), `delay`
    (seconds before anything is sent) and `close` (Connection: close) shape it.
    """

    verb: str | None = None
    resource: str | None = None
    times: int | None = 1
    code: int | None = None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    how: End = "reset"
    drip: float | None = None
    delay: float = 0.0
    close: bool = False

    def matches(self, verb: str, resource: str) -> bool:
        """True when this fault is meant for such a request."""
        return self.verb in (None, verb) and self.resource in (None, resource)


class Faults:
    """The faults that wait for their requests, first come first served."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Let `fault` happen."""
        self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        """Let nothing go wrong from now on."""
        self._waiting.clear()

    def take(self, verb: str, resource: str) -> Fault | None:
        """The fault for this request, counted down."""
        for fault in self._waiting:
            if fault.matches(verb, resource):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._waiting.remove(fault)
                return fault
        return None

    def fail(self, error: ApiError, **matching: Any) -> Fault:
        """Answer with the Status of `error`; `matching` are `verb`, `resource`, `times`."""
        headers = {"Content-Type": "application/json"}
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        body = msgspec.json.encode(error.status()) + b"\n"
        return self.add(Fault(code=error.code, body=body, headers=headers, **matching))

    def too_many_requests(self, retry_after: int = 1, **matching: Any) -> Fault:
        """429 with Retry-After (seconds)."""
        return self.fail(too_many_requests(retry_after), **matching)

    def unavailable(self, retry_after: int | None = None, **matching: Any) -> Fault:
        """503 as a server says it while it starts or stops."""
        text = "the server is currently unable to handle the request"
        error = ApiError(503, "ServiceUnavailable", text, retry_after=retry_after)
        return self.fail(error, **matching)

    def bad_gateway(self, **matching: Any) -> Fault:
        """A load balancer's 502 page, in HTML."""
        headers = {"Content-Type": "text/html"}
        return self.add(Fault(code=502, body=BAD_GATEWAY, headers=headers, **matching))

    def cut(self, after: int, how: How = "reset", **matching: Any) -> Fault:
        """End the connection after `after` bytes of the response, headers included."""
        return self.add(Fault(after=after, how=how, **matching))

    def half_open(self, after: int = 0, **matching: Any) -> Fault:
        """Fall silent after `after` bytes and keep the socket open."""
        return self.add(Fault(after=after, how="stall", **matching))

    def drip(self, bytes_per_second: float, **matching: Any) -> Fault:
        """Send the response byte by byte."""
        return self.add(Fault(drip=bytes_per_second, **matching))

    def delay(self, seconds: float, **matching: Any) -> Fault:
        """Let the response wait."""
        return self.add(Fault(delay=seconds, **matching))

    def connection_close(self, **matching: Any) -> Fault:
        """Say Connection: close and do it."""
        return self.add(Fault(close=True, **matching))


_FLUSHES = 16  # of 128 KiB at most each


class FaultyConnection(ProtocolWrapper):
    """A connection whose outgoing bytes follow the plan of the request under way.

    `sent`: bytes of the present response that went out.
    """

    def __init__(self, factory: FaultyFactory, wrapped: Protocol) -> None:
        super().__init__(factory, wrapped)
        self._clock = factory.clock
        self._plan: Fault | None = None
        self._dripping = bytearray()
        self._ending = False
        self._cut = False
        self.sent = 0

    def begin(self, plan: Fault | None) -> None:
        """A response begins; `plan` says what becomes of its bytes."""
        self.sent = 0
        self._plan = plan if plan is not None and plan.code is None else None
        if self._plan is not None and self._plan.after == 0:
            self._stop_at_limit()

    def write(self, data: bytes) -> None:
        """Send what the plan lets through."""
        plan = self._plan
        if self._cut:
            return
        if plan is None:
            self._pass(data)
        elif plan.drip is not None:
            if not self._dripping:
                self._clock.callLater(1 / plan.drip, self._drip, plan.drip)
            self._dripping += data
        elif plan.after is not None:
            self._pass(data[: plan.after - self.sent])
            if self.sent >= plan.after:
                self._stop_at_limit()
        else:
            self._pass(data)

    def writeSequence(self, data: list[bytes]) -> None:
        """Send several pieces."""
        self.write(b"".join(data))

    def _pass(self, data: bytes) -> None:
        self.sent += len(data)
        cast("ITransport", self.transport).write(data)

    def _drip(self, rate: float) -> None:
        if self._cut or not self._dripping:
            return
        self._pass(bytes(self._dripping[:1]))
        del self._dripping[:1]
        if self._dripping:
            self._clock.callLater(1 / rate, self._drip, rate)
        elif self._ending:
            super().loseConnection()  # type: ignore[no-untyped-call]

    def _stop_at_limit(self) -> None:
        self._cut = True
        if self._plan is not None and self._plan.how != "stall":
            self.break_off(self._plan.how)

    def fall_silent(self) -> None:
        """Send nothing from now on, and keep the socket open."""
        self._cut = True

    def break_off(self, how: How = "reset") -> None:
        """End the connection now; what was written still goes out before a FIN or an RST.

        Over TLS without its farewell, as when a machine in between gives up.
        """
        self._cut = True
        raw: Any = self.transport
        while isinstance(raw, ProtocolWrapper):
            raw = raw.transport
        if raw is self.transport:
            _end(raw, how)
        else:
            # The TLS layer gathers small writes until the next turn.
            self._clock.callLater(0, _end, raw, how)

    def loseConnection(self) -> None:
        """Close when the plan allows: a stalled connection stays, a dripping one ends later."""
        if self._cut:
            return
        if self._dripping:
            self._ending = True
        else:
            super().loseConnection()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = None) -> None:
        """The peer is gone."""
        self._cut = True
        self._dripping.clear()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


def _end(raw: Any, how: How) -> None:
    raw.unregisterProducer()
    if how == "close":
        raw.loseConnection()
    elif isinstance(raw, MemoryTransport):
        raw.reset()
    else:
        _flush(raw)
        raw.abortConnection()


def _flush(raw: Any) -> None:
    """Hand what was written to the kernel: Twisted throws its own buffer away before an RST."""
    for _ in range(_FLUSHES):
        if raw.doWrite() is not None:
            return


class FaultyFactory(WrappingFactory[FaultyConnection]):
    """Wraps every connection of an HTTP factory; `protocols` holds the open ones."""

    protocol = FaultyConnection
    noisy = False

    def __init__(self, wrapped: Any, clock: IReactorTime) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.clock = clock
