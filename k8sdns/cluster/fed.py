"""Taking the feed in: a source of cluster objects for a process that has no watch of its own.

Owns: who of this process wants which source, over connections that may come and go. Refuses to
know who feeds. While no connection is there, what is known stays, and is stale.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from k8sdns.cluster import feed
from k8sdns.cluster.feed import MAX_FRAME_OCTETS, Forget, Message, Want
from k8sdns.cluster.model import KINDS


class Fed:
    """The feed of a process; `source(key)` makes what a `Cluster` takes as its source."""

    def __init__(self) -> None:
        self._sinks: dict[str, Any] = {}
        self._connection: Feed | None = None

    def source(self, key: tuple[object, ...]) -> Any:
        """Return ``make_source(sink)`` of the source that `key` describes in every process."""
        return lambda sink: FedSource(self, feed.source_name(key), sink)

    def want(self, source: str, sink: Any) -> None:
        """Have `sink` hear a source from now on."""
        self._sinks[source] = sink
        self._say(source, Want())

    def forget(self, source: str) -> None:
        """Hear it no longer."""
        if self._sinks.pop(source, None) is not None:
            self._say(source, Forget())

    def connected(self, connection: Feed) -> None:
        """Another feeder is there: hear everything anew."""
        self._connection = connection
        for source in self._sinks:
            self._say(source, Want())

    def disconnected(self, connection: Feed) -> None:
        """The feeder is gone."""
        if connection is not self._connection:
            return
        self._connection = None
        for sink in self._sinks.values():
            for kind in KINDS:
                if kind in sink.synced:
                    sink.stale(kind)

    def came(self, source: str, messages: list[Message]) -> None:
        """Tell the sink."""
        sink = self._sinks.get(source)
        if sink is not None:
            feed.take(sink, messages)

    def _say(self, source: str, message: Message) -> None:
        if self._connection is not None:
            self._connection.sendString(feed.encode((source, [message])))  # type: ignore[no-untyped-call]


class FedSource:
    """One source by the feed."""

    def __init__(self, fed: Fed, name: str, sink: Any) -> None:
        self._fed = fed
        self._name = name
        self._sink = sink

    def start(self) -> None:
        """Begin to hear."""
        self._fed.want(self._name, self._sink)

    def stop(self) -> None:
        """Hear no longer; the sink keeps what it has."""
        self._fed.forget(self._name)


class Feed(Int32StringReceiver):
    """The taker's end of the connection."""

    MAX_LENGTH = MAX_FRAME_OCTETS

    def __init__(self, fed: Fed) -> None:
        self._fed = fed

    def connectionMade(self) -> None:
        """Say what is wanted."""
        self._fed.connected(self)

    def connectionLost(self, _reason: Failure = connectionDone) -> None:
        """The feeder is gone."""
        self._fed.disconnected(self)

    def stringReceived(self, string: bytes) -> None:
        """Take one frame."""
        self._fed.came(*feed.decode(string))


class FeedFactory(Factory):
    """Makes the taker's ends."""

    noisy = False

    def __init__(self, fed: Fed) -> None:
        self._fed = fed

    def buildProtocol(self, _address: Any) -> Feed:
        """Return the end of one connection."""
        return Feed(self._fed)
