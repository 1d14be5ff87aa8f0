"""Giving the feed out: one watch's objects to any number of takers, none of whom can hold it up.

Owns: the connections of takers, and what each has still to hear. Refuses to know where objects
come from (a `k8sdns.cluster.feed.Relay` has them) and what takers do with them.

A taker that reads slowly costs no memory but a set of keys: what changed is remembered, not how,
and is looked up when there is room. Beyond `MAX_BEHIND` keys the taker gets everything anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns.cluster import feed
from k8sdns.cluster.feed import Forget, Message, Relay, Want
from k8sdns.cluster.model import Key

log = Logger()

CHUNK: Final = 100  # messages of a frame; a taker decodes one in well under a millisecond
MAX_BEHIND: Final = 20_000


class Feeding:
    """Every source by name, and every taker. A taker may want a source before it is there."""

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self.takers: set[Taker] = set()

    def given_out(self, key: tuple[object, ...], relay: Relay) -> GivenOut:
        """Return what gives `relay` out while it runs, to those who want the source of `key`."""
        return GivenOut(self, feed.source_name(key), relay)

    def add(self, source: str, relay: Relay) -> None:
        """Give out a source from now on."""
        self._relays[source] = relay
        relay.changed = lambda kind, key, message: self._changed(source, kind, key, message)
        for taker in self.takers:
            if source in taker.wanted:
                taker.begin(source)

    def remove(self, source: str) -> None:
        """Give it out no longer, if it ever was; takers keep what they have."""
        self._relays.pop(source, None)
        for taker in self.takers:
            taker.end(source)

    def relay(self, source: str) -> Relay | None:
        """Return what a source's objects are kept in."""
        return self._relays.get(source)

    def _changed(self, source: str, kind: str, key: Key, message: Message) -> None:
        octets = b""
        for taker in self.takers:
            if source in taker.wanted and not taker.note(source, kind, key):
                octets = octets or feed.encode((source, [message]))
                taker.sendString(octets)  # type: ignore[no-untyped-call]


class GivenOut:
    """One source that is given out from `start()` to `stop()`."""

    def __init__(self, feeding: Feeding, source: str, relay: Relay) -> None:
        self._feeding = feeding
        self._source = source
        self._relay = relay

    def start(self) -> None:
        """Give it out."""
        self._feeding.add(self._source, self._relay)

    def stop(self) -> None:
        """Give it out no longer."""
        self._feeding.remove(self._source)


@implementer(IPushProducer)
class Taker(Int32StringReceiver):
    """The feeder's end of one taker's connection."""

    MAX_LENGTH = 4096  # a taker has little to say

    def __init__(self, feeding: Feeding) -> None:
        self.wanted: set[str] = set()
        self._feeding = feeding
        self._begun: dict[str, Iterator[Message]] = {}
        self._behind: dict[tuple[str, str, Key], None] = {}
        self._is_paused = False

    def connectionMade(self) -> None:
        """Hear when the connection is full."""
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self._feeding.takers.add(self)

    def connectionLost(self, _reason: Failure = connectionDone) -> None:
        """The taker is gone."""
        self._feeding.takers.discard(self)

    def stringReceived(self, string: bytes) -> None:
        """Take what the taker wants."""
        source, messages = feed.decode(string)
        for message in messages:
            if isinstance(message, Want):
                self.wanted.add(source)
                self.begin(source)
            elif isinstance(message, Forget):
                self.wanted.discard(source)
                self.end(source)

    def begin(self, source: str) -> None:
        """Say everything about a source, from the beginning."""
        relay = self._feeding.relay(source)
        if relay is None:
            return
        self.end(source)
        self._begun[source] = relay.snapshot()
        self._pump()

    def end(self, source: str) -> None:
        """Have nothing more to say about a source."""
        self._begun.pop(source, None)
        for entry in [each for each in self._behind if each[0] == source]:
            del self._behind[entry]

    def note(self, source: str, kind: str, key: Key) -> bool:
        """Remember a change if it cannot be sent at once; tell whether that was so."""
        if not (self._is_paused or self._begun or self._behind):
            return False
        self._behind[source, kind, key] = None
        if len(self._behind) > MAX_BEHIND:
            self._start_over()
        return True

    def _start_over(self) -> None:
        log.info("a worker is {count} changes behind: it gets everything anew", count=MAX_BEHIND)
        self._behind.clear()
        for source in self.wanted:
            relay = self._feeding.relay(source)
            if relay is not None:
                self._begun[source] = relay.snapshot()

    def pauseProducing(self) -> None:
        """The connection is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """There is room."""
        self._is_paused = False
        self._pump()

    def stopProducing(self) -> None:
        """The connection is lost."""
        self._is_paused = True

    def _pump(self) -> None:
        """Send until the connection is full: beginnings first, then what changed meanwhile."""
        while not self._is_paused and self._begun:
            source, messages = next(iter(self._begun.items()))
            chunk = list(islice(messages, CHUNK))
            if chunk:
                self.sendString(feed.encode((source, chunk)))  # type: ignore[no-untyped-call]
            else:
                del self._begun[source]
        while not self._is_paused and self._behind:
            self._send_changes()

    def _send_changes(self) -> None:
        """Send the changes of one source, as things are now."""
        source = next(iter(self._behind))[0]
        due = list(islice((entry for entry in self._behind if entry[0] == source), CHUNK))
        relay = self._feeding.relay(source)
        messages = []
        for entry in due:
            del self._behind[entry]
            message = None if relay is None else relay.current(entry[1], entry[2])
            if message is not None:
                messages.append(message)
        if messages:
            self.sendString(feed.encode((source, messages)))  # type: ignore[no-untyped-call]


class TakerFactory(Factory):
    """Makes the feeder's ends."""

    noisy = False

    def __init__(self, feeding: Feeding) -> None:
        self._feeding = feeding

    def buildProtocol(self, _address: Any) -> Taker:
        """Return the end of one connection."""
        return Taker(self._feeding)
