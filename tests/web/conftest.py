"""What tests of pages share: HTTP spoken to a site in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from k8sdns.web.sites import Pages, PageSite

PEER = IPv4Address("TCP", "127.0.0.1", 4321)


class Reply(NamedTuple):
    """One HTTP reply; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_last: bool  # the connection was closed behind it


class Connection:
    """One client's connection to a site."""

    def __init__(self, site: PageSite) -> None:
        self.transport = StringTransport(peerAddress=PEER)
        self.channel: Any = site.buildProtocol(PEER)
        self.channel.makeConnection(self.transport)

    def get(self, path: str, *headers: str) -> None:
        lines = [f"GET {path} HTTP/1.1", "Host: dns", *headers, "", ""]
        self.channel.dataReceived("\r\n".join(lines).encode())

    @property
    def is_closed(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def reply(self) -> Reply:
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        return Reply(int(first.split()[1]), headers, body, self.is_closed)


@pytest.fixture
def connect() -> Any:
    """`connect(site)` opens a connection."""
    return Connection


@pytest.fixture
def ask() -> Any:
    """`ask(page, path, *headers, reactor=)` is the reply of a site whose only page this is."""

    def get(page: Any, path: str, *headers: str, reactor: Any) -> Reply:
        pages = Pages()
        pages.put(path.partition("?")[0].encode(), page)
        connection = Connection(PageSite(pages, reactor))
        connection.get(path, *headers)
        reactor.pump([0.001] * 2000)
        return connection.reply()

    return get
