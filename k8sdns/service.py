"""The service that twistd runs, and the only door to the global reactor.

Owns: the order of start and end, privileges, the clock, what the process says when it must stop.
Refuses to know Corefiles, sockets and queries: `k8sdns.assemble` builds the object graph, and this
module calls it through the few methods of `Assembled`.

`makeService` nests in any Twisted application and works several times in one process. Only where
we own the process (``twistd k8sdns``, ``k8sdns.tac``, the ``k8sdns`` command) does it replace the
reactor's clock and end the process.
"""

from __future__ import annotations

import atexit
import getopt
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Protocol

from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, FirstError, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger

from k8sdns import logs, turns
from k8sdns.collecting import Collector
from k8sdns.drain import GRACE, Drain
from k8sdns.errors import ConfigurationError
from k8sdns.options import OUR_LINES, Options, Plan, log_our_lines, version_lines

__all__ = ["Options", "makeService"]

log = Logger()


class Assembled(Protocol):
    """The running object graph, as `k8sdns.assemble.build` returns it: not started yet.

    Called in this order: privileged_start, start, drain, stop; after `stop` never again. `stop`
    may come at any time after `privileged_start`.
    """

    reloads: Any
    """Has `reload()`, which reads the Corefile again, and `afterwards`, a list of what to call when
    that worked; None where there is nothing to read."""

    def privileged_start(self) -> None:
        """Bind every socket, still as root.

        Raises `ConfigurationError` after closing what it bound.
        """

    def start(self) -> Deferred[Any] | None:
        """Begin to serve; a Deferred fires once questions are answered (the first sync included).

        Raises, or fails with, `ConfigurationError` where it cannot.
        """

    def last_asked_at(self) -> float | None:
        """Return when the last question came, in ``reactor.seconds()``; None: never."""

    def drain(self) -> Deferred[Any] | None:
        """The end is near: say so (ready, lameduck) and go on answering until it fires."""

    def stop(self) -> Deferred[Any] | None:
        """Stop asking and answering, close every socket; fires when nothing is left. Bounded."""


class Build(Protocol):
    """`k8sdns.assemble.build`: makes the graph of a plan and opens nothing.

    `halt(message)` is for what makes serving senseless (a forwarding loop): it logs the message
    and ends the process with exit status 1.
    """

    def __call__(self, plan: Plan, reactor: Any, halt: Callable[[str], None]) -> Assembled: ...


class DNSService(MultiService):
    """Serves one plan; may be started again after it was stopped."""

    def __init__(
        self,
        plan: Plan,
        build: Build,
        reactor: Any = None,
        *,
        grace: float = GRACE,
        quiet: bool = False,
        owns_process: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan
        self._build = build
        self._reactor = reactor
        self._grace = grace
        self._quiet = quiet
        self._owns_process = owns_process
        self._assembled: Assembled | None = None
        self._collector = Collector()

    def privilegedStartService(self) -> None:
        """Bind the sockets, before privileges are dropped; raises `ConfigurationError`."""
        self._assemble()
        if self._owns_process:
            self._collector.settle()
        super().privilegedStartService()  # type: ignore[no-untyped-call]

    def startService(self) -> None:
        """Serve; raises `ConfigurationError`."""
        assembled = self._assembled or self._assemble()
        super().startService()  # type: ignore[no-untyped-call]
        if self._owns_process:
            reload_on_signals(self._reactor, self.reload)
            if assembled.reloads is not None:
                assembled.reloads.afterwards.append(self._collector.reloaded)
        started = assembled.start()
        if started is None:
            self._greet()
        else:
            started.addCallbacks(lambda _: self._greet(), self._could_not_start)

    def reload(self) -> None:
        """Read the Corefile again and serve what it says, changed or not; what fails is logged."""
        if self._assembled is not None and self._assembled.reloads is not None:
            self._assembled.reloads.reload()

    def stopService(self) -> Deferred[None]:
        """Drain, then stop; fires when nothing is left running."""
        assembled, self._assembled = self._assembled, None
        return Deferred.fromCoroutine(self._end(assembled))

    def _assemble(self) -> Assembled:
        if self._reactor is None:
            self._reactor = global_reactor()
        assembled = self._build(self._plan, self._reactor, self.halt)
        assembled.privileged_start()
        self._assembled = assembled
        return assembled

    def _greet(self) -> None:
        if not self._quiet:
            for line in (*self._plan.banner, *version_lines()):
                log.info("{line}", line=line, **{logs.BARE: True})

    def _could_not_start(self, failure: Any) -> None:
        if failure.check(ConfigurationError) is None:
            log.failure("The server could not start", failure)
        self.halt(failure.getErrorMessage())

    def halt(self, message: str) -> None:
        """Log `message` and end: our process with exit status 1, else only this service."""
        log.critical("[FATAL] {message}", message=message, **{logs.BARE: True})
        self._grace = 0.0
        if self._owns_process:
            atexit.register(_exit_with, 1)
            self._reactor.callWhenRunning(self._reactor.stop)
        else:
            self.stopService()

    async def _end(self, assembled: Assembled | None) -> None:
        if assembled is not None:
            await self._drained(assembled)
        await maybeDeferred(super().stopService)
        if assembled is not None:
            try:
                await maybeDeferred(assembled.stop)
            except Exception:  # noqa: BLE001 - the process ends whatever a part says
                log.failure("Something did not stop cleanly")

    async def _drained(self, assembled: Assembled) -> None:
        ended_by = self._ended_by()
        if (
            ended_by == signal.SIGINT
        ):  # somebody sits at the terminal: CoreDNS drains nothing either
            log.info("SIGINT: Shutting down")
            hurry_on_signals(self._reactor, lambda: None)
            return
        if ended_by == signal.SIGTERM:
            log.info("SIGTERM: Shutting down servers then terminating")
        quiet = Deferred.fromCoroutine(self._quiet_is_there(assembled))
        is_hurried = False

        def hurry() -> None:
            nonlocal is_hurried
            is_hurried = True
            quiet.cancel()

        if self._owns_process:
            hurry_on_signals(self._reactor, hurry)
        try:
            await quiet
        except Exception as error:  # noqa: BLE001 - the process ends whatever a part says
            if is_hurried and isinstance(error, (CancelledError, FirstError)):
                log.info("Told to end once more: not waiting any longer")
            else:
                log.failure("Not everybody could be told of the end")

    async def _quiet_is_there(self, assembled: Assembled) -> None:
        said = maybeDeferred(assembled.drain)
        clock = self._reactor
        drain = Drain(clock.seconds(), assembled.last_asked_at, grace=self._grace)
        try:
            while wait := drain.remaining(clock.seconds()):
                await deferLater(clock, wait, lambda: None)
        except CancelledError:
            said.addErrback(lambda _: None).cancel()
            raise
        await said

    def _ended_by(self) -> int | None:
        # The reactor keeps the signal that stopped it for twistd, under this name only.
        return getattr(self._reactor, "_exitSignal", None) if self._owns_process else None


def makeService(options: Options, reactor: Any = None) -> DNSService:
    """Return the service for parsed `options`; nothing is opened before it is started.

    Without a `reactor` the global one is used, and fetched as late as possible.
    """
    if options.owns_process:
        _own_process(reactor or global_reactor())
    return DNSService(
        options.plan,
        options.assembly.build,
        reactor,
        grace=options["grace"],
        quiet=bool(options["quiet"]),
        owns_process=options.owns_process,
    )


def make_application(
    environ: Mapping[str, str] = os.environ, arguments: Sequence[str] | None = None
) -> Any:
    """Return the Application of ``k8sdns.tac``, configured by environment variables.

    K8SDNS_COREFILE, K8SDNS_PORT and K8SDNS_GRACE stand for the options of those names.
    `arguments` are twistd's own, for where it logs to.
    """
    words = [
        f"--{name}={value}"
        for name in ("corefile", "port", "grace")
        if (value := environ.get(f"K8SDNS_{name.upper()}"))
    ]
    options = Options()
    options.parseOptions(words)
    options.owns_process = True
    application = Application("k8sdns")
    IService(makeService(options)).setServiceParent(application)
    choices = twistd_choices(sys.argv[1:] if arguments is None else arguments)
    if choices.get("logger") == OUR_LINES:
        application.setComponent(ILogObserver, logs.observer())
    return application


def twistd_choices(arguments: Sequence[str]) -> dict[str, Any]:
    """Return which of twistd's options `arguments` hold, our log lines chosen where none were.

    A .tac file is not told twistd's options, and an observer set on the Application would win
    over ``--logfile``.
    """
    # Imported here: children need nothing of twistd.
    from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]

    grammar = ServerOptions()
    try:
        given, _ = getopt.getopt(list(arguments), grammar.shortOpt, grammar.longOpt)
    except getopt.GetoptError:  # run by something else than twistd: leave its log alone
        return {}
    chosen: dict[str, Any] = {grammar.synonyms.get(k.lstrip("-"), ""): v or True for k, v in given}
    log_our_lines(chosen)
    return chosen


def global_reactor() -> Any:
    """Return the global reactor, installing the default one if there is none yet."""
    from twisted.internet import reactor

    return reactor


def _own_process(reactor: Any) -> None:
    own_reactor(reactor)
    sys.excepthook = short_excepthook
    # twistd ends by the signal that it was sent, and no exit function is called then.
    reactor.addSystemEventTrigger("after", "shutdown", logs.flush)


def own_reactor(reactor: Any) -> None:
    """Give the reactor of a process that is all ours our clock and our turns."""
    use_monotonic_clock(reactor)
    turns.shorten(reactor)


def use_monotonic_clock(reactor: Any) -> None:
    """Make deadlines immune to steps of the system clock (twisted#2424).

    Only before the first timer: what was timed by the old clock would never be due.
    """
    if reactor.seconds is not time.monotonic and not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def reload_on_signals(reactor: Any, reload: Callable[[], None]) -> None:
    """Reload on SIGHUP and SIGUSR1, as operators of Twisted and of CoreDNS expect.

    Whoever handled them before (twistd turns its log file over on SIGUSR1) goes on doing so.
    """
    for number in (signal.SIGHUP, signal.SIGUSR1):
        _reload_on(number, reactor, reload)


def _reload_on(number: signal.Signals, reactor: Any, reload: Callable[[], None]) -> None:
    before = signal.getsignal(number)

    def on_signal(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(_say_and_reload, signal.Signals(number).name, reload)
        if callable(before):
            before(number, frame)

    signal.signal(number, on_signal)


def hurry_on_signals(reactor: Any, hurry: Callable[[], None]) -> None:
    """Call `hurry` on SIGINT and SIGTERM from now on, where the reactor is stopping already.

    The reactor's own handlers would stop it a second time, which is an error with a traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: reactor.callFromThread(hurry))


def _say_and_reload(name: str, reload: Callable[[], None]) -> None:
    log.info("{name}: Reloading", name=name)
    reload()


def short_excepthook(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Say a configuration mistake in one line; everything else in full.

    twistd lets an exception of `privilegedStartService` end the process after it has removed its
    pid file, which it does not for SystemExit.
    """
    if isinstance(error, ConfigurationError):
        stderr = sys.__stderr__
        if stderr is not None:
            stderr.write(f"{error}\n")
    else:
        sys.__excepthook__(kind, error, traceback)


def _exit_with(status: int) -> None:
    # twistd has no way to end with a status of ours once its reactor has run.
    logs.flush()
    os._exit(status)
