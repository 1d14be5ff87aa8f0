"""Connections to the API server: TCP with keep-alive, through a proxy if told so, TLS around it.

Owns: how fast a dead peer is noticed, how much is read at once. Refuses to know requests. Host
names are looked up by the reactor's resolver, which is the system's and not ours.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from k8sdns.cluster.access import Secret
from k8sdns.cluster.connect_proxy import through_proxy

CONNECT_WITHIN = 10.0
KEEPALIVE_IDLE, KEEPALIVE_EVERY, KEEPALIVE_PROBES = 30, 15, 3
UNACKNOWLEDGED_FOR = 30_000
"""Milliseconds after which unacknowledged octets end a connection (TCP_USER_TIMEOUT)."""

READ_OCTETS = 16 * 1024
"""Octets that are taken in at once: some objects' worth, so that questions never wait for more."""

_OPTIONS = (
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
    ("TCP_KEEPINTVL", KEEPALIVE_EVERY),
    ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_FOR),
)


@implementer(IStreamClientEndpoint)
class KeepAliveEndpoint:
    """Sets connections of `endpoint` up: half-open ones die, floods are read in small pieces."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Return a Deferred of the connected protocol."""
        return self._endpoint.connect(protocolFactory).addCallback(_set_up)


@implementer(IAgentEndpointFactory)
class ApiServerEndpoints:
    """Makes the endpoints of an Agent; `policy` None speaks plain HTTP."""

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None, proxy: Secret | None) -> None:
        self._reactor = reactor
        self._policy = policy
        self._proxy = proxy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return the endpoint for the host and port of `uri`."""
        wire = KeepAliveEndpoint(self._wire(uri))
        if self._policy is None:
            return wire
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), wire)

    def _wire(self, uri: URI) -> Any:
        if self._proxy is None:
            return HostnameEndpoint(self._reactor, uri.host, uri.port, CONNECT_WITHIN)
        host = uri.host.decode("ascii")
        return through_proxy(self._reactor, self._proxy, host, uri.port, CONNECT_WITHIN)


def _set_up(protocol: Any) -> Any:
    transport: Any = getattr(protocol, "transport", None)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if hasattr(transport, "bufferSize"):
        transport.bufferSize = READ_OCTETS
    if isinstance(handle, socket.socket):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS:
            option = getattr(socket, name, None)  # not every system has them all
            if option is not None:
                handle.setsockopt(socket.IPPROTO_TCP, option, value)
    return protocol
