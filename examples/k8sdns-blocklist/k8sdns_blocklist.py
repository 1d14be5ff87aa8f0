"""``blocklist FILE``: the names of a list do not exist, nor does anything below them."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question, extended_error
from k8sdns.authorities.polling import Rereading
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, argument, option
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IStage
from k8sdns.metrics import Counts, Metric
from k8sdns.server.draft import BlockDraft

log = Logger(namespace="k8sdns.directives.blocklist")

BLOCKED = Metric(
    "k8sdns_blocklist_blocked_total", "counter", "Questions for names on a list.", ("server",)
)
MAX_LINES = 500_000
IS_BLOCKED = 15  # Extended DNS Error "Blocked" (RFC 8914 §4.16)
NO_SUCH_NAME = Answer(
    rcode=records.NXDOMAIN,
    options=(extended_error(IS_BLOCKED, "on a blocklist"),),
    source="blocklist",
)


@dataclass(frozen=True)
class Settings:
    """Denies the names of a list, and everything below them."""

    file: str = argument(kinds.path("FILE"), help="One name a line; # begins a comment.")
    reload: float = option(
        kinds.duration(0), default=5.0, help="How often the file is looked at; 0: never again."
    )

    def check(self, _context: Context) -> None:
        """A list that cannot be read is a mistake in the Corefile."""
        if not os.path.isfile(self.file) or not os.access(self.file, os.R_OK):
            raise ValueError(f"there is no file {self.file} to read")


class Blocklist(Service):
    """The names of one file, read again when it changes; with a mistake in it the old ones stay."""

    def __init__(self, file: str, reload_after: float, clock: IReactorTime) -> None:
        self._file = file
        self._zones: frozenset[bytes] = frozenset()
        self._rereading = Rereading(
            clock, reload_after, file, self._read, take=self._take, keep=self._keep
        )
        self._rereading.read_if_small()

    def holds(self, qname: bytes) -> bool:
        """Tell whether the list has the name or one of its ancestors."""
        zones = self._zones
        return any(name in zones for name in names.suffixes(qname))

    def startService(self) -> Any:
        """Look for changes from now on."""
        super().startService()
        return self._rereading.start()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._rereading.stop()

    def _read(self) -> Generator[None, None, frozenset[bytes]]:
        """Read the file; questions are answered wherever this yields."""
        found = set()
        with open(self._file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                name = line.partition("#")[0].strip()
                if name:
                    found.add(self._zone(name, number))
                yield
        return frozenset(found)

    def _zone(self, name: str, number: int) -> bytes:
        if number > MAX_LINES:
            raise ConfigurationError(f"{self._file}:{number} - more than {MAX_LINES} lines")
        try:
            return names.from_text(name)
        except names.BadName as error:
            raise ConfigurationError(f"{self._file}:{number} - {error}") from None

    def _take(self, zones: frozenset[bytes]) -> None:
        self._zones = zones
        log.info("{count} names are blocked", count=len(zones))

    def _keep(self, failure: Failure) -> None:
        log.error("the list stays as it was: {why}", why=failure.getErrorMessage())


@implementer(IStage)
class Blocking:
    """Answers for the names on a list; every other question goes on."""

    def __init__(self, blocklist: Blocklist, blocked: Counts) -> None:
        self._blocklist = blocklist
        self._blocked = blocked

    def respond(self, question: Question, rest: Any) -> Any:
        """Say NXDOMAIN, or ask everything below."""
        if not self._blocklist.holds(question.qname):
            return rest(question)
        self._blocked.add(question.server.name)
        return NO_SUCH_NAME


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage; blocks and reloads with equal settings share one list."""
    context = block.context
    blocklist = context.share.take(
        ("blocklist", settings.file, settings.reload),
        lambda: Blocklist(settings.file, settings.reload, context.clock),
    )
    block.add(Blocking(blocklist, context.metrics.counter(BLOCKED)))


DIRECTIVE = Directive(
    "blocklist", Settings, install=install, follows="acl", summary="Names that are not resolved."
)
