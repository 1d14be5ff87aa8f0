"""What tests of directives share: a Corefile's blocks built in this process, without sockets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from k8sdns import assemble, logs
from k8sdns.corefile.source import CorefileText
from k8sdns.metrics import Metrics
from k8sdns.server.carried import Carried
from k8sdns.server.draft import Context

CLIENT = ("192.0.2.9", 4321)


class Served:
    """The first listener of a Corefile: octets in, octets out, a clock that stands still."""

    def __init__(self, text: str) -> None:
        source = CorefileText(text, "Corefile", None)
        plan = assemble.check(source, default_port=53, environ={})
        self.clock = Clock()
        self.metrics = Metrics()
        self.halted: list[str] = []
        share = Carried().share()
        self.generation = assemble.generate(
            plan,
            Context(self.clock, self.clock, self.metrics, share, self.halted.append, plan),
        )
        self.servers = [server for server, _factory in self.generation.servers.values()]
        for service in self.generation.services:
            service.startService()

    def send(self, query: dns.message.Message, client: tuple[Any, ...] = CLIENT) -> Any:
        """Return the reply to `query`, None for silence, or the Deferred of either."""
        found = self.servers[0].respond(query.to_wire(), client)
        if isinstance(found, Deferred):
            if not found.called:
                return found.addCallback(_message)
            found = found.result
        if isinstance(found, Failure):
            found.raiseException()
        return _message(found)

    def ask(
        self,
        name: str,
        qtype: str = "A",
        qclass: str = "IN",
        *,
        client: str = "192.0.2.9",
        **arguments: Any,
    ) -> Any:
        """Ask one question; `arguments` are those of `dns.message.make_query`."""
        query = dns.message.make_query(name, qtype, qclass, **arguments)
        return self.send(query, (client, 4321))

    def stop(self) -> None:
        """Stop what the blocks started."""
        for service in reversed(self.generation.services):
            service.stopService()


def _message(octets: bytes | None) -> dns.message.Message | None:
    return None if octets is None else dns.message.from_wire(octets)


@pytest.fixture
def serve() -> Callable[[str], Served]:
    """`serve(corefile)` builds what the text says; nothing is opened."""
    return Served


@pytest.fixture
def checked() -> Callable[[str], Any]:
    """`checked(corefile)` returns the plan of a text, or raises its CorefileError."""

    def check(text: str) -> Any:
        return assemble.check(CorefileText(text, "Corefile", None), default_port=53, environ={})

    return check


@pytest.fixture
def settings(checked: Callable[[str], Any]) -> Callable[[str], Any]:
    """`settings(stanza)` returns what one directive in a block of its own comes to."""

    def read(stanza: str) -> Any:
        (_directive, found), *_ = checked(f". {{\n{stanza}\n}}").blocks[0].directives
        return found

    return read


@pytest.fixture
def lines() -> Any:
    """The log lines of a test, as they would be written."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        found.append(logs.line_of(event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def zone_file(tmp_path: Path) -> Callable[[str], str]:
    """`zone_file(text)` writes example.org's zone and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "example.org.zone"
        path.write_text("$ORIGIN example.org.\n$TTL 60\n@ SOA ns admin 1 2 3 4 5\n" + text)
        return str(path)

    return write
