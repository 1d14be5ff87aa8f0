"""Requests to the API server over Twisted's Agent: where to, as whom, how often.

Owns: URLs, credentials, TLS that follows rotated files, the rate limit, deadlines of answers.
Refuses to know how an answer goes on (exchange) and what is asked next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IResponse

from k8sdns.cluster.access import AccessError, ClusterAccess
from k8sdns.cluster.endpoints import ApiServerEndpoints
from k8sdns.cluster.exchange import JSON, Conversation, Exchange
from k8sdns.cluster.exec_plugin import ExecCredentialSource
from k8sdns.cluster.model import Kind
from k8sdns.cluster.rate_limit import RateLimit
from k8sdns.cluster.rest_metrics import RestMetrics
from k8sdns.cluster.tls import certificate_fingerprint, policy_for
from k8sdns.cluster.tokens import Credential, Grant, stored_credential
from k8sdns.metrics import Metrics

PATHS: dict[Kind, str] = {
    "services": "/api/v1/services",
    "endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
}
ANSWER_WITHIN = 30.0
"""Seconds from connecting until the headers of the answer are there."""

CLOSE_WITHIN = 2.0


class ApiClient:
    """Makes requests to one API server.

    `endpoints` replaces how connections are made, for tests without sockets. `wall_clock` gives
    Unix seconds (the expiry of credentials), `reactor` monotonic ones.
    """

    def __init__(
        self,
        access: ClusterAccess,
        reactor: Any,
        *,
        qps: float = 0.0,
        burst: int = 0,
        max_inflight: int = 0,
        endpoints: IAgentEndpointFactory | None = None,
        wall_clock: Callable[[], float] = time.time,
        metrics: Metrics | None = None,
    ) -> None:
        self.metrics = RestMetrics(Metrics() if metrics is None else metrics)
        self.host = urlsplit(access.server).netloc
        self._access = access
        self.reactor = reactor
        self._limit = RateLimit(reactor.seconds, qps, burst)
        self._slots = DeferredSemaphore(max_inflight) if max_inflight else None
        self._endpoints = endpoints
        self._connections: _Connections | None = None
        self._credential: Credential = (
            ExecCredentialSource(access.exec_plugin, reactor, wall_clock)
            if access.exec_plugin
            else stored_credential(access, reactor)
        )

    def get(
        self,
        kind: Kind,
        parameters: tuple[tuple[str, str], ...],
        conversation: Conversation,
        accept: str = JSON,
    ) -> Exchange:
        """Ask for `kind` in all namespaces, in the form `accept`; the Exchange can be abandoned."""
        query = urlencode(parameters)
        url = f"{self._access.server}{PATHS[kind]}?{query}".encode("ascii")
        return Exchange(self, url, conversation, accept)

    def close(self) -> Deferred[Any]:
        """Close idle connections; fires when that is done, or after `CLOSE_WITHIN` seconds."""
        if self._connections is None:
            return succeed(None)
        # A peer that hangs never answers TLS's farewell; nobody shall wait for it.
        closing: Deferred[Any] = self._connections.pool.closeCachedConnections()
        return closing.addTimeout(CLOSE_WITHIN, self.reactor, onTimeoutCancel=lambda _, __: None)

    async def ask(self, url: bytes, headers: Headers) -> tuple[IResponse, Grant]:
        """Return the response to one GET and the grant that it was made with.

        Waits for the rate limit and for a free slot. Raises whatever went wrong.
        """
        delay = self._limit.reserve()
        self.metrics.waited(self.host, delay)
        if delay > 0:
            await deferLater(self.reactor, delay)
        grant = await self._credential.grant()
        if grant.authorization:
            headers.setRawHeaders(b"Authorization", [grant.authorization])
        if self._slots is None:
            return await self._send(url, headers, grant), grant
        await self._slots.acquire()
        try:
            return await self._send(url, headers, grant), grant
        finally:
            self._slots.release()

    def rejected(self, grant: Grant) -> None:
        """Take note that `grant` was answered 401."""
        self._credential.rejected(grant)

    async def _send(self, url: bytes, headers: Headers, grant: Grant) -> IResponse:
        started = self.reactor.seconds()
        code: int | None = None
        try:
            asking = self._connections_for(grant).agent.request(b"GET", url, headers)
            response: IResponse = await within(self.reactor, ANSWER_WITHIN, asking, "no answer")
            code = response.code
            return response
        finally:
            self.metrics.answered(self.host, code, self.reactor.seconds() - started)

    def _connections_for(self, grant: Grant) -> _Connections:
        """Return connections whose TLS has the certificates of now: rotation is seen here."""
        old = self._connections
        try:
            fingerprint = certificate_fingerprint(self._access, grant)
            if old is not None and old.fingerprint == fingerprint:
                return old
            endpoints = self._endpoints or ApiServerEndpoints(
                self.reactor, policy_for(self._access, grant), self._access.proxy
            )
        except AccessError:
            # Half-way through a rotation; what was good a moment ago may still be.
            if old is not None and old.certificate == grant.certificate:
                return old
            raise
        if old is not None:
            old.pool.closeCachedConnections()
        self._connections = _Connections(self.reactor, endpoints, fingerprint, grant)
        return self._connections


class _QuietFactory(_HTTP11ClientFactory):
    """Makes HTTP/1.1 connections without two log lines about each."""

    noisy = False


class _Connections:
    """An Agent and its pool, with what its TLS was made of."""

    def __init__(
        self,
        reactor: Any,
        endpoints: IAgentEndpointFactory,
        fingerprint: tuple[bytes, ...],
        grant: Grant,
    ) -> None:
        self.fingerprint = fingerprint
        self.certificate = grant.certificate
        self.pool = HTTPConnectionPool(reactor)
        self.pool._factory = _QuietFactory  # noqa: SLF001 - the one place to say it
        self.agent: Agent = Agent.usingEndpointFactory(reactor, endpoints, self.pool)


def within(clock: Any, seconds: float, waiting: Deferred[Any], what: str) -> Deferred[Any]:
    """Return `waiting`, which is cancelled and fails with `what` after so many seconds."""
    waiting.addTimeout(
        seconds,
        clock,
        onTimeoutCancel=lambda _, __: Failure(TimeoutError(f"{what} within {seconds:g} s")),
    )
    return waiting
