"""Reloads: reading the Corefile again, and exchanging what runs for what it says now.

Owns when two texts are the same configuration, what is logged and counted about a reload, and
that there is one at a time. Refuses to know how generations are made and exchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from k8sdns import plan as plans
from k8sdns.corefile.dump import as_json
from k8sdns.corefile.source import CorefileText, read_corefile
from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.metrics import RELOAD_FAILED, RELOAD_VERSION, Metrics
from k8sdns.plan import Plan

log = Logger()
said = Logger(namespace="k8sdns.directives.reload")

Exchange = Callable[[Plan], Any]


class Reloads:
    """The one who reloads in a process.

    `check` makes a plan of a text, `exchange` (a coroutine) makes a plan run; both may raise, and
    then nothing has changed. `afterwards` is called, each of it, when a reload has worked.
    """

    def __init__(
        self,
        plan: Plan,
        environ: Mapping[str, str],
        check: Callable[[CorefileText], Plan],
        exchange: Exchange,
        metrics: Metrics,
    ) -> None:
        self._source = plan.source
        self._environ = environ
        self._check = check
        self._exchange = exchange
        self._failed = metrics.counter(RELOAD_FAILED)
        self._version = metrics.gauge(RELOAD_VERSION)
        self._lock = DeferredLock()
        self.running_hash = self._hash_of(plan.source)
        self._tried_hash = self.running_hash
        self._complained_of = ""
        self.afterwards: list[Callable[[], object]] = []

    def _hash_of(self, source: CorefileText) -> str:
        """Return the SHA-512 of what a text says, imports and variables put in."""
        return hashlib.sha512(as_json(plans.parsed(source, self._environ)).encode()).hexdigest()

    def reload_if_changed(self) -> Deferred[None]:
        """Reload if the Corefile says something else than at the last try; never fails."""
        return self._run(self._if_changed)

    def reload(self) -> Deferred[None]:
        """Reload whatever the Corefile says (a signal asks for it); never fails."""
        return self._run(self._anyway)

    def _run(self, step: Callable[[], Any]) -> Deferred[None]:
        def start() -> Deferred[None]:
            return Deferred.fromCoroutine(step())

        done: Deferred[None] = self._lock.run(start)
        return done.addErrback(lambda failure: log.failure("A reload broke off", failure))

    async def _if_changed(self) -> None:
        source = self._read()
        if source is None:
            return
        try:
            found = self._hash_of(source)
        except CorefileError as error:
            self._complain(f"Corefile parse failed: {error}")
            return
        if found != self._tried_hash:
            await self._try(source, found)

    async def _anyway(self) -> None:
        source = self._read()
        if source is None:
            return
        try:
            found = self._hash_of(source)
        except CorefileError as error:
            self._fail(error)
            return
        await self._try(source, found)

    def _read(self) -> CorefileText | None:
        """Return the text as it is now; None if it cannot be read, or came from nowhere."""
        if self._source.path is None:
            return None
        try:
            return read_corefile(self._source.path, 0)
        except ConfigurationError as error:
            self._complain(f"the Corefile cannot be read again: {error}")
            return None

    def _complain(self, sentence: str) -> None:
        """Say it once, not at every look."""
        if sentence != self._complained_of:
            self._complained_of = sentence
            said.warn("{sentence}", sentence=sentence)

    async def _try(self, source: CorefileText, found: str) -> None:
        # Remembered first: a broken text is tried again when it changes, not at every look.
        self._tried_hash = found
        self._complained_of = ""
        self._version.clear()
        self._version[("sha512", found)] = 1
        log.info("Reloading")
        before, self.running_hash = self.running_hash, found
        try:
            await self._exchange(self._check(source))
        except Exception as error:  # noqa: BLE001 - whatever fails, the old stays
            self.running_hash = before
            self._fail(error)
            return
        log.info("Reloading complete")
        for call in self.afterwards:
            call()

    def _fail(self, error: Exception) -> None:
        self._failed.add()
        if not isinstance(error, ConfigurationError):
            log.failure("The new configuration could not be built")
        log.error("Restart failed: {error}", error=error)
        said.error("Corefile changed but reload failed: {error}", error=error)

    def say_hash(self) -> None:
        """Log which configuration runs, as CoreDNS does."""
        said.info("Running configuration SHA512 = {hash}", hash=self.running_hash)
