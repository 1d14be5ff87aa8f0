"""``/health``: this process runs; and how long it takes to say so.

Owns the page, the requests by which the server watches itself, and the pause before the end
(lameduck). Refuses to judge anything else: a server that waits for its cluster is healthy.
(CoreDNS plugin/health.)
"""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface import implementer

from k8sdns.corefile.durations import go_duration
from k8sdns.interfaces import ILeaving
from k8sdns.metrics import HEALTH_DURATION, HEALTH_FAILURES, Metrics
from k8sdns.web.sites import Placed, WebListener, text

log = Logger()

PATH: Final = b"/health"
EVERY: Final = 1.0  # seconds between the server's own requests
SLOW_AFTER: Final = 1.0  # seconds
GIVE_UP_AFTER: Final = 3.0  # seconds


class HealthPage(Resource):
    """Says OK as long as the process runs."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        """Return OK."""
        return text(request, "OK")


class Health(Placed):
    """The page on one listener, and the watch over it."""

    def __init__(self, listener: WebListener, reactor: Any, metrics: Metrics) -> None:
        super().__init__(listener, {PATH: HealthPage()})  # type: ignore[no-untyped-call]
        self._watch = SelfCheck(listener, reactor, metrics)

    def startService(self) -> None:
        """Put the page up and watch it."""
        super().startService()
        self._watch.startService()

    def stopService(self) -> Any:
        """End both."""
        super().stopService()
        return self._watch.stopService()


@implementer(IAgentEndpointFactory)
class SelfCheck(Service):
    """Asks this server's own /health once a second, over its socket, as a kubelet would.

    A request that takes long is one that the event loop was too busy for.
    """

    def __init__(self, listener: WebListener, reactor: Any, metrics: Metrics) -> None:
        self._listener = listener
        self._clock: IReactorTime = reactor
        self._reactor = reactor
        self._durations = metrics.histogram(HEALTH_DURATION)
        self._failures = metrics.counter(HEALTH_FAILURES)
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._agent = Agent.usingEndpointFactory(reactor, self, self._pool)
        self._loop = LoopingCall(self._ask)
        self._loop.clock = reactor
        self._is_asking = False

    def startService(self) -> None:
        """Begin to ask."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        """Ask no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def endpointForURI(self, _uri: Any) -> Any:
        """Return the way to the listener's own socket."""
        at = self._listener.ports[0].getHost()
        return _Quietly(_endpoint(self._reactor, at))

    @property
    def _can_ask(self) -> bool:
        """Tell whether there is a socket that speaks HTTP without TLS."""
        secured = self._listener.listen.endpoint.startswith(("ssl:", "tls:"))
        return bool(self._listener.ports) and not secured and not self._is_asking

    def _ask(self) -> None:
        if self._can_ask:
            self._is_asking = True
            Deferred.fromCoroutine(self._timed())

    async def _timed(self) -> None:
        began = self._clock.seconds()
        try:
            asked = self._agent.request(b"GET", b"http://health" + PATH)
            response = await asked.addTimeout(GIVE_UP_AFTER, self._clock)
            await readBody(response).addTimeout(GIVE_UP_AFTER, self._clock)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            if self.running:
                self._failed(error)
        else:
            self._took(self._clock.seconds() - began)
        finally:
            self._is_asking = False

    def _failed(self, error: Exception) -> None:
        self._failures.add()
        log.warn(
            'Local health request to "{at}" failed: {error}', at=self._listener.listen, error=error
        )

    def _took(self, seconds: float) -> None:
        self._durations.observe(seconds)
        if seconds > SLOW_AFTER:
            log.warn(
                'Local health request to "{at}" took more than 1s: {seconds}',
                at=self._listener.listen,
                seconds=go_duration(seconds),
            )


def _endpoint(reactor: Any, at: Any) -> Any:
    """Return the endpoint that connects to our own listening address."""
    if isinstance(at, UNIXAddress):
        return UNIXClientEndpoint(reactor, at.name)
    if isinstance(at, IPv6Address):
        return TCP6ClientEndpoint(reactor, "::1" if at.host == "::" else at.host, at.port)
    host = "127.0.0.1" if at.host == "0.0.0.0" else at.host  # noqa: S104
    return TCP4ClientEndpoint(reactor, host, at.port)


@implementer(IStreamClientEndpoint)
class _Quietly:
    """Connects without a log line about it."""

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def connect(self, factory: Any) -> Any:
        factory.noisy = False
        return self._endpoint.connect(factory)


@implementer(ILeaving)
class Lameduck:
    """Keeps the process up, healthy and answering for a while after it was told to end."""

    def __init__(self, seconds: float, clock: IReactorTime) -> None:
        self._seconds = seconds
        self._clock = clock

    def leave(self) -> Deferred[None]:
        """Fire when the while is over."""
        log.info("Going into lameduck mode for {time}", time=go_duration(self._seconds))
        return deferLater(self._clock, self._seconds, lambda: None)
