"""Where served zones come from: a file that is read again when it changed.

Owns: the life of one zone file: first load, poll, the rule that decides whether a newly read
zone replaces the old one. Refuses to know questions, and how zone files are written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import names
from k8sdns.authorities import polling, zonefile
from k8sdns.authorities.zone import Zone
from k8sdns.authorities.zonelookup import ZoneAnswers
from k8sdns.interfaces import IReadsFiles

RELOAD_AFTER: Final = 60.0  # seconds (CoreDNS: file's reload 1m)


@implementer(IReadsFiles)
class ZoneFile(Service):
    """One zone of one file, kept up to date; the last good zone stays when the file breaks.

    `answers` is None until the first load. `changed` is called with each new zone.
    """

    def __init__(
        self,
        origin: bytes,
        path: str,
        clock: IReactorTime,
        *,
        reload_after: float = RELOAD_AFTER,
        by_mtime: bool = False,
        word: str = "file",
        changed: Callable[[Zone], Any] = lambda _zone: None,
    ) -> None:
        """`reload_after` in seconds, 0: never; `by_mtime`: any change counts, not the serial's."""
        self.origin = origin
        self.path = path
        self.word = word
        self.answers: ZoneAnswers | None = None
        self.trouble = ""  # why the file is not served as it stands on disk, in words
        self._by_mtime = by_mtime
        self._log = Logger(namespace=f"k8sdns.authorities.{word}")
        self._changed = changed
        self._rereading = polling.Rereading(
            clock, reload_after, path, self._reading, take=self._take, keep=self._keep
        )

    def _reading(self) -> Generator[None, None, zonefile.Loaded]:
        return zonefile.loading(self.path, self.origin)

    @property
    def zone(self) -> Zone | None:
        """The zone that is served, or None."""
        return self.answers.zone if self.answers else None

    def load(self) -> None:
        """Read a small file now; leave a large one to `startService`.

        Raises `zonefile.ZoneFileError` for a mistake in the file, OSError if it cannot be read.
        """
        self._rereading.read_if_small()

    def read_now(self) -> None:
        """Read a large file, too; of one that is not there `load` has told."""
        if self._rereading.is_first and os.path.exists(self.path):
            try:
                self._take(polling.finished(self._reading()))
            except (zonefile.ZoneFileError, OSError):
                self._keep(Failure())

    def startService(self) -> Deferred[None]:
        """Read what is not read yet, and poll from now on; fires after the first reading."""
        super().startService()  # type: ignore[no-untyped-call]
        return self._rereading.start()

    def stopService(self) -> None:
        """Stop polling and reading; what is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._rereading.stop()

    def _take(self, loaded: zonefile.Loaded) -> None:
        self._rereading.files, self._rereading.seen = loaded.files, loaded.seen
        for warning in loaded.warnings:
            self._log.warn("{warning}", warning=warning)
        old, new = self.zone, loaded.zone
        if old is not None and not self._by_mtime and old.serial == new.serial:
            if Counter(old) != Counter(new):
                self._complain(
                    f"{self.path} changed but its SOA serial is still {new.serial}: not reloaded"
                )
            else:
                self.trouble = ""
            return
        self.trouble = ""
        self.answers = ZoneAnswers(new, self.word)
        if old is not None:
            self._log.info(
                'Successfully reloaded zone "{zone}" in "{path}" '
                "with {serial} SOA serial",
                zone=names.to_text(self.origin), path=self.path, serial=new.serial,
            )  # fmt: skip
        self._changed(new)

    def _keep(self, failure: Failure) -> None:
        """Leave the last good zone as it is."""
        if failure.check(zonefile.ZoneFileError):
            self._complain(failure.getErrorMessage())
        elif isinstance(failure.value, OSError):
            self._complain(f"{self.path}: {failure.value.strerror}")
        else:
            self._log.failure("{path}", failure, path=self.path)

    def _complain(self, trouble: str) -> None:
        """Say once what is wrong."""
        if trouble != self.trouble:
            self.trouble = trouble
            kept = "the zone as it was stays in use" if self.answers else "the zone is not served"
            self._log.warn("{trouble}; {kept}", trouble=trouble, kept=kept)
