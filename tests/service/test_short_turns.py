"""Short turns of the reactor's loop: held to the tests that Twisted has for its reactors.

Those of connections need more packages than we do; they were run by hand, and differ in what our
turns leave out, the log context around each descriptor.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.test import test_core, test_fdset, test_threads, test_time
from twisted.internet.test.reactormixins import ReactorBuilder

from k8sdns import turns

epollreactor = pytest.importorskip("twisted.internet.epollreactor", exc_type=ImportError)


def short_reactor() -> Any:
    """Return a reactor of its own with short turns."""
    reactor = epollreactor.EPollReactor()
    assert turns.shorten(reactor), "Twisted's reactor has changed inside: see turns._INSIDE"
    return reactor


def of_reactors(module: Any) -> dict[str, type]:
    """Return the test cases that Twisted has for all reactors in one of its modules, for ours."""
    builders = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, ReactorBuilder)
        and each.__module__ == module.__name__
        and not hasattr(each, "run")  # made for another reactor already
        and not each.__name__.startswith("Glib")
    ]
    return {
        f"{each.__name__}_ShortTurns": type(
            f"{each.__name__}_ShortTurns",
            (each, test_core.SynchronousTestCase),
            {"reactorFactory": staticmethod(short_reactor), "__module__": __name__},
        )
        for each in builders
    }


for module in (test_core, test_fdset, test_threads, test_time):
    globals().update(of_reactors(module))


MAX_READS = 1_000_000


class Readable:
    """A descriptor that can be read at any time; ends a loop that does nothing else."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self._ours, self._other = socket.socketpair()
        self._other.send(b"there")
        self.reads = 0

    def doRead(self) -> None:
        self.reads += 1
        if self.reads > MAX_READS:
            self.reactor.crash()

    def fileno(self) -> int:
        return self._ours.fileno()

    def logPrefix(self) -> str:
        raise AssertionError("no log context is made")

    def connectionLost(self, _reason: object) -> None:
        self._ours.close()
        self._other.close()


def test_what_is_due_goes_before_what_can_be_read() -> None:
    """A descriptor that is readable for ever keeps neither timers nor threads from their turn."""
    reactor, seen = short_reactor(), []
    readable = Readable(reactor)
    reactor.addReader(readable)
    reactor.callLater(0, seen.append, "timer")
    reactor.callLater(0.01, reactor.callInThread, reactor.callFromThread, seen.append, "thread")
    reactor.callLater(0.05, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert seen == ["timer", "thread"]
    assert readable.reads > len(seen)


def test_a_bug_costs_the_descriptor_that_has_it() -> None:
    reactor = short_reactor()
    broken, sound = Readable(reactor), Readable(reactor)
    broken.doRead = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value]
    reactor.addReader(broken)
    reactor.addReader(sound)
    reactor.callLater(0.02, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert broken.fileno() == -1
    assert sound.reads > 1


def test_other_loops_are_left_as_they_are() -> None:
    class Derived(epollreactor.EPollReactor):  # type: ignore[name-defined,misc]
        """One that may have a loop of its own."""

    for reactor in (SelectReactor(), Derived()):
        before = reactor.doIteration
        assert not turns.shorten(reactor)
        assert reactor.doIteration == before
