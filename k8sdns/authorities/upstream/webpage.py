"""One page over HTTP, of which only the status matters.

Owns the request. Refuses to look anything up, to follow redirects and to read bodies.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory, IResponse
from zope.interface import implementer


@implementer(IAgentEndpointFactory)
class _OneWay:
    """Every URL leads to one endpoint: the address is known."""

    def __init__(self, endpoint: Any) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, _uri: Any) -> Any:
        """Return the endpoint."""
        return self._endpoint


class _Unread(Protocol):
    """Nobody wants the body, however long it would be."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


def status_of(reactor: Any, endpoint: Any, host: str, port: int, path: str) -> Deferred[int]:
    """GET `path` over `endpoint`, which leads to the address `host`; fires with the status."""
    address = host.partition("%")[0]
    netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    agent = Agent.usingEndpointFactory(reactor, _OneWay(endpoint))
    asked: Deferred[Any] = agent.request(b"GET", f"http://{netloc}{path}".encode("ascii"))
    return asked.addCallback(_status)


def _status(response: IResponse) -> int:
    response.deliverBody(_Unread())
    code: int = response.code
    return code
