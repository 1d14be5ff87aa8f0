"""A process of a server of several, as it sees itself; ``python -m k8sdns.child`` is the nursery.

Owns the process: its signals, its log, its end with its parent. What it serves it is told over its
channel; its sockets come the same way. Refuses to decide anything that all processes have to agree
about: the parent (`k8sdns.workers.supervisor`) does.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, LoopingCall
from twisted.logger import Logger, globalLogBeginner

import k8sdns
from k8sdns import assemble, directives, logs
from k8sdns.cluster.fed import Fed, FeedFactory
from k8sdns.cluster.feeding import Feeding, TakerFactory
from k8sdns.collecting import Collector
from k8sdns.corefile.source import CorefileText
from k8sdns.errors import ConfigurationError
from k8sdns.metrics import Metrics, count_dropped_lines
from k8sdns.plan import Plan
from k8sdns.running import Generation, Running
from k8sdns.server.carried import Share
from k8sdns.server.draft import FEEDER, Context
from k8sdns.service import global_reactor, own_reactor
from k8sdns.workers.control import (
    Abort,
    Beat,
    Channel,
    ChannelFactory,
    Commit,
    Failed,
    Halt,
    Join,
    Joined,
    Order,
    Prepare,
    Prepared,
    Refused,
    Serving,
    Start,
    Stop,
    Wanted,
)
from k8sdns.workers.forking import CONTROL, forks
from k8sdns.workers.sockets import Inherited
from k8sdns.workers.tallies import Tally

log = Logger()

BEAT_EVERY: Final = 0.2  # seconds
COUNT_EVERY: Final = 1.0  # seconds
# The parent alone is told when to end and to reload; a terminal tells the whole group.
IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Aborted(ConfigurationError):
    """Another process could not prepare, so this one is not to serve what it prepared."""


class Agreement:
    """One reload: prepared here, and waiting for the word of the parent."""

    def __init__(self, number: int, say: Callable[[Any], None]) -> None:
        self.number = number
        self._say = say
        self._is_aborted = False
        self._decided: Deferred[None] | None = None

    def asked(self) -> Deferred[None]:
        """Say that this process is prepared; fires on commit, fails on abort."""
        if self._is_aborted:
            raise Aborted
        self._say(Prepared(self.number))
        self._decided = Deferred()
        return self._decided

    def commit(self) -> None:
        """Everybody is prepared."""
        if self._decided is not None:
            self._decided.callback(None)

    def abort(self) -> None:
        """Somebody is not, or this one took too long."""
        self._is_aborted = True
        if self._decided is not None:
            self._decided.errback(Aborted())


class Duty:
    """What this process does for its parent; `end()` ends the process."""

    def __init__(self, reactor: Any, role: str, end: Callable[[], None]) -> None:
        self.channel = Channel(False, self._heard, end)
        self._reactor = reactor
        self._role = role
        self._end = end
        self._metrics = Metrics()
        count_dropped_lines(self._metrics)
        self._tally = Tally(self._metrics)
        self._inherited = Inherited()
        self._feed = Feeding() if role == FEEDER else Fed()
        self._running: Running | None = None
        self._agreement: Agreement | None = None
        self._collector = Collector()
        self._cooperator = Cooperator(scheduler=lambda step: reactor.callLater(0, step))
        for call, every in ((self._beat, BEAT_EVERY), (self._count, COUNT_EVERY)):
            loop = LoopingCall(call)
            loop.clock = reactor
            loop.start(every)

    def _heard(self, order: Order) -> None:
        if isinstance(order, Start):
            Deferred.fromCoroutine(self._start(order))
        elif isinstance(order, Prepare):
            Deferred.fromCoroutine(self._prepare(order))
        elif isinstance(order, Join):
            self._join(self.channel.received.popleft())
        elif isinstance(order, Stop):
            Deferred.fromCoroutine(self._stop())
        elif isinstance(order, (Commit, Abort)):
            self._decide(order)

    def _decide(self, order: Commit | Abort) -> None:
        agreement = self._agreement
        if agreement is None or agreement.number != order.number:
            return
        self._agreement = None
        if isinstance(order, Commit):
            agreement.commit()
        else:
            agreement.abort()

    def _join(self, descriptor: int) -> None:
        feed = self._feed
        factory = FeedFactory(feed) if isinstance(feed, Fed) else TakerFactory(feed)
        with socket.socket(fileno=descriptor) as end:
            end.setblocking(False)
            self._reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, factory)
        self.channel.say(Joined())

    # -- serving ---------------------------------------------------------------------------------

    def _plan(self, wanted: Wanted) -> Plan:
        self._inherited.take_in(wanted.places, iter(self.channel.received.popleft, None))
        return assemble.understood(
            wanted.corefile,
            CorefileText("", wanted.name, wanted.path),
            default_port=wanted.default_port,
            folder=wanted.folder,
        )

    def _generator(self, plan: Plan) -> Callable[[Share], Generation]:
        def make(share: Share) -> Generation:
            context = Context(
                self._reactor,
                self._reactor,
                self._metrics,
                share,
                lambda message: self.channel.say(Halt(message)),
                plan,
                role=self._role,
                feed=self._feed,
            )
            return assemble.generate(plan, context)

        return make

    async def _start(self, order: Start) -> None:
        try:
            if order.version != k8sdns.__version__:
                raise ConfigurationError("k8sdns was replaced while it ran: restart it")
            self._running = Running(
                self._reactor,
                self._metrics,
                self._generator(self._plan(order.wanted)),
                make_listener=self._inherited.listener,
            )
            self._running.privileged_start()
            await self._running.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent decides
            self._say_why(error)
            self.channel.say(Failed(str(error)))
            self._reactor.callLater(0.1, self._end)
            return
        self._collector.settle()
        self.channel.say(Serving())

    async def _prepare(self, order: Prepare) -> None:
        agreement = self._agreement = Agreement(order.number, self.channel.say)
        try:
            if self._running is None:
                raise ConfigurationError("there is nothing to be reloaded yet")
            generate = self._generator(self._plan(order.wanted))
            await self._running.reload(generate, agreement.asked)
            self._collector.reloaded()
        except Aborted:
            self._inherited.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing has changed
            self._inherited.close()
            self._say_why(error)
            self.channel.say(Refused(order.number, str(error)))

    def _say_why(self, error: Exception) -> None:
        if not isinstance(error, ConfigurationError):
            log.failure("The configuration could not be built")

    async def _stop(self) -> None:
        try:
            if self._running is not None:
                await self._running.stop()
        finally:
            self._end()

    # -- reports ---------------------------------------------------------------------------------

    def _beat(self) -> None:
        running = self._running
        if running is None:
            self.channel.say(Beat(0, (("multisocket", "a worker to start"),)))
        else:
            self.channel.say(Beat(running.asked, tuple(running.waits_for())))

    def _count(self) -> Deferred[Any]:
        done = self._cooperator.coiterate(self._metrics.refreshing())
        return done.addCallback(lambda _: self.channel.say(self._tally.counted()))


def main(role: str, channel: socket.socket) -> None:
    """Run the process until its parent ends it, or ends."""
    _ignore_signals()
    reactor = global_reactor()
    own_reactor(reactor)
    if not logs.is_in_use():  # else the parent, whose fork this is, has begun it
        globalLogBeginner.beginLoggingTo([logs.observer()], redirectStandardIO=False)
    logs.observer().lines.write = partial(logs.write_whole_lines, 1)
    duty = Duty(reactor, role, _end)
    with channel:
        factory = ChannelFactory(duty.channel)
        reactor.adoptStreamConnection(channel.fileno(), socket.AF_UNIX, factory)
    reactor.callWhenRunning(_ignore_signals)
    reactor.run()


def _end() -> None:
    logs.flush()
    os._exit(0)


def _ignore_signals() -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


def import_for_all(words: Iterable[str]) -> None:
    """Import what children will, for a Corefile of these words: they share it.

    Of the reactor all but the module that would install it.
    """
    import twisted.internet.default
    import twisted.internet.udp
    import twisted.internet.unix  # noqa: F401 - importing is what it is for

    found = directives.discovered()
    for word in words:
        found[word]
        if word == "prometheus":
            import k8sdns.web.metrics  # noqa: F401 - what it imports late


if __name__ == "__main__":
    _ignore_signals()
    import_for_all(sys.argv[1:])
    main(*forks(socket.socket(fileno=CONTROL)))
