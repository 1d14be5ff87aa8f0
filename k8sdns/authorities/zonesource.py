"""Where served zones come from: a file that is read again when it changed.

Owns: the life of one zone file: first load, poll, the rule that decides whether a newly read
zone replaces the old one. Refuses to know questions, and how zone files are written.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import names
from k8sdns.authorities import polling, zonefile
from k8sdns.authorities.zone import Zone
from k8sdns.authorities.zonelookup import ZoneAnswers
from k8sdns.interfaces import IReadiness

RELOAD_AFTER: Final = 60.0  # seconds (CoreDNS: file's reload 1m)
LARGE: Final = 128 * 1024  # octets; a larger file is read in slices even at first


@implementer(IReadiness)
class ZoneFile:
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
        self.answers: ZoneAnswers | None = None
        self.trouble = ""  # why the file is not served as it stands on disk, in words
        self._clock = clock
        self._by_mtime = by_mtime
        self.word = word
        self._log = Logger(namespace=f"k8sdns.authorities.{word}")
        self._changed = changed
        self._files: tuple[str, ...] = (path,)
        self._seen: polling.Signature = ()
        self._has_failed = False
        self._reading: Deferred[Any] | None = None
        self._poll = polling.Poll(clock, reload_after, self.look)

    @property
    def zone(self) -> Zone | None:
        """The zone that is served, or None."""
        return self.answers.zone if self.answers else None

    def waits_for(self) -> str:
        """Return what is missing while the first reading goes on."""
        return f"zone file {self.path}" if self._reading and self.answers is None else ""

    def load(self) -> None:
        """Read a small file now; leave a large one to `start`.

        Raises `zonefile.ZoneFileError` for a mistake in the file, OSError if it cannot be read.
        """
        if os.stat(self.path).st_size > LARGE:
            return
        self._take(zonefile.load(self.path, self.origin))

    def start(self) -> None:
        """Read what is not read yet, and poll from now on."""
        if self.answers is None:
            self.look()
        self._poll.start()

    def stop(self) -> None:
        """Stop polling and reading; what is known stays."""
        self._poll.stop()
        if self._reading is not None:
            self._reading.cancel()

    def look(self) -> None:
        """Read the file again if it changed since the last look, or could not be read then."""
        is_same = polling.signature(self._files) == self._seen and not self._has_failed
        if is_same or self._reading is not None:
            return
        steps = zonefile.loading(self.path, self.origin)
        reading = polling.in_slices(self._clock, steps)
        if not reading.called:
            self._reading = reading
        reading.addCallbacks(self._take, self._keep)
        reading.addBoth(self._has_read)

    def _has_read(self, _result: Any) -> None:
        self._reading = None

    def _take(self, loaded: zonefile.Loaded) -> None:
        self._files, self._seen, self._has_failed = loaded.files, loaded.seen, False
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
        self._has_failed = True
        if failure.check(zonefile.ZoneFileError):
            self._complain(failure.getErrorMessage())
        elif isinstance(failure.value, OSError):
            self._complain(f"{self.path}: {failure.value.strerror}")
        elif not failure.check(CancelledError):
            self._log.failure("{path}", failure, path=self.path)

    def _complain(self, trouble: str) -> None:
        """Say once what is wrong."""
        if trouble != self.trouble:
            self.trouble = trouble
            kept = "the zone as it was stays in use" if self.answers else "the zone is not served"
            self._log.warn("{trouble}; {kept}", trouble=trouble, kept=kept)
