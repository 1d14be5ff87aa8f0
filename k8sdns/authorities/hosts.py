"""Names and addresses from hosts files and from inline lines of a Corefile (CoreDNS: hosts).

Owns: the form of hosts lines (hosts(5)), the table they become, the answers from it, the reverse
ones included. Refuses to know the Corefile.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Generator, Iterable
from itertools import chain
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities import polling
from k8sdns.authorities.base import Authority
from k8sdns.authorities.zoneauthority import falls_through
from k8sdns.records import Record

RELOAD_AFTER: Final = 5.0  # seconds (CoreDNS: hosts' reload 5s)
TTL: Final = 3600  # seconds (CoreDNS)
MAX_ENTRIES: Final = 2_000_000  # pairs of a name and an address; what is beyond is ignored
MAX_MEMORISED: Final = 4096
_ADDRESS_OCTETS = {records.A: 4, records.AAAA: 16}

Addresses = dict[bytes, tuple[bytes, ...]]


class HostsTable:
    """What hosts lines say. Names are lower-case wire form, addresses packed, in file order."""

    def __init__(self) -> None:
        self.addresses: Addresses = {}
        self.wildcards: Addresses = {}  # ``*.name`` by name
        self.names: dict[bytes, tuple[bytes, ...]] = {}  # by address
        self.entries = 0

    @classmethod
    def reading(
        cls, lines: Iterable[str], zones: tuple[bytes, ...]
    ) -> Generator[None, None, HostsTable]:
        """Make a table of the names in `zones` from hosts lines, pausing after each line."""
        table = cls()
        for line in lines:
            table.add(line, zones)
            yield
        return table

    def add(self, line: str, zones: tuple[bytes, ...]) -> None:
        """Take ``ADDRESS NAME...``; what is no address or no name is skipped, as CoreDNS does."""
        fields = line.partition("#")[0].split()
        if len(fields) < 2 or (address := packed(fields[0])) is None:
            return
        for text in fields[1:]:
            name = _name(text)
            if name is None or self.entries >= MAX_ENTRIES or not falls_through(zones, name):
                continue
            self.entries += 1
            if name.startswith(b"\x01*"):
                self.wildcards[name[2:]] = (*self.wildcards.get(name[2:], ()), address)
            else:
                self.addresses[name] = (*self.addresses.get(name, ()), address)
                self.names[address] = (*self.names.get(address, ()), name)

    def find(self, name: bytes) -> tuple[bytes, ...] | None:
        """Return the addresses of `name`, else those of the wildcard one label above it."""
        return self.addresses.get(name) or self.wildcards.get(name[name[0] + 1 :])


def packed(text: str) -> bytes | None:
    """Return the octets of an address; an IPv4-mapped one is IPv4, a zone is dropped (Go)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).packed


def _name(text: str) -> bytes | None:
    try:
        name = names.from_text(text)
    except names.BadName:
        return None
    return name if name != names.ROOT else None


class HostsFile(Service):
    """A hosts file and inline lines, read again when the file changed; a missing file is empty.

    `entries` and `modified_at` (seconds since the epoch) are what the metrics show.
    """

    def __init__(
        self,
        path: str,
        clock: IReactorTime,
        *,
        zones: tuple[bytes, ...] = (names.ROOT,),
        inline: tuple[str, ...] = (),
        reload_after: float = RELOAD_AFTER,
    ) -> None:
        """Read the names in `zones`; `reload_after` in seconds, 0 for never."""
        self.path = path
        self.zones = zones
        self.inline = inline
        self.table = polling.finished(HostsTable.reading(inline, zones))
        self.modified_at = 0.0
        self._log = Logger(namespace="k8sdns.authorities.hosts")
        self._rereading = polling.Rereading(
            clock, reload_after, path, self._reading, take=self._take, keep=self._keep
        )

    @property
    def entries(self) -> int:
        """How many pairs of a name and an address there are."""
        return self.table.entries

    def load(self) -> None:
        """Read a small file now; leave a large one to `startService`. A missing one is logged."""
        try:
            self._rereading.read_if_small()
        except OSError as error:
            self._complain(error)

    def startService(self) -> Deferred[None]:
        """Read what is not read yet, and poll from now on; fires after the first reading."""
        super().startService()  # type: ignore[no-untyped-call]
        return self._rereading.start()

    def stopService(self) -> None:
        """Stop polling and reading; what is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._rereading.stop()

    def _reading(self) -> Generator[None, None, tuple[HostsTable, float]]:
        with open(self.path, encoding="utf-8", errors="replace") as lines:
            modified_at = os.fstat(lines.fileno()).st_mtime
            table = yield from HostsTable.reading(chain(lines, self.inline), self.zones)
        return table, modified_at

    def _take(self, result: tuple[HostsTable, float]) -> None:
        self.table, self.modified_at = result

    def _keep(self, failure: Failure) -> None:
        if isinstance(failure.value, FileNotFoundError):
            return  # said at the start; what was known of a file that went away stays
        self._complain(failure.value)

    def _complain(self, error: BaseException | None) -> None:
        if isinstance(error, FileNotFoundError):
            self._log.warn("File does not exist: {path}", path=self.path)
        else:
            self._log.warn("{path} cannot be read: {error}", path=self.path, error=error)


class HostsAuthority(Authority):
    """Answers A, AAAA and PTR from a hosts table (CoreDNS: hosts)."""

    word = "hosts"

    def __init__(
        self,
        source: HostsFile,
        *,
        ttl: int = TTL,
        has_reverse: bool = True,
        fallthrough: tuple[bytes, ...] = (),
        unsupported_fall_through: bool = False,
    ) -> None:
        """`fallthrough`: zones whose unknown names the next authority is asked for.

        `unsupported_fall_through`: so are the other types of known names, within these zones.
        """
        self.source = source
        self._ttl = ttl
        self._has_reverse = has_reverse
        self._fallthrough = fallthrough
        self._unsupported_fall_through = unsupported_fall_through
        self._nodata = Answer(aa=True, source=self.word)
        # There is no SOA to deny a name with.
        self._failure = Answer(rcode=records.SERVFAIL, source=self.word)
        self._known: dict[tuple[bytes, int], Answer] = {}
        self._known_from: Any = None

    def answer(self, question: Question) -> Answer | None:
        """Answer what the table knows; see `IAuthority.answer`."""
        if question.qclass not in {records.IN, records.CLASS_ANY}:
            return None
        table = self.source.table
        if table is not self._known_from:
            self._known, self._known_from = {}, table
        known = self._known.get((question.qname, question.qtype))
        if known is not None:
            return known
        if question.qtype == records.PTR and (answer := self._reverse(table, question)):
            return answer
        if question.qtype == records.PTR or not falls_through(self.source.zones, question.qname):
            return None
        return self._forward(table, question)

    def _forward(self, table: HostsTable, question: Question) -> Answer | None:
        qname, qtype = question.qname, question.qtype
        found = table.find(qname)
        passes = falls_through(self._fallthrough, qname)
        if found is None:
            return None if passes else self._failure
        size = _ADDRESS_OCTETS.get(qtype)
        if size is None and passes and self._unsupported_fall_through:
            return None
        made = tuple(
            Record(qname, qtype, self._ttl, address) for address in found if len(address) == size
        )
        return self._kept(question, made) if made else self._nodata

    def _reverse(self, table: HostsTable, question: Question) -> Answer | None:
        text = names.address_of(question.qname) if self._has_reverse else None
        found = table.names.get(packed(text) or b"", ()) if text else ()
        made = tuple(Record(question.qname, records.PTR, self._ttl, name) for name in found)
        return self._kept(question, made) if made else None

    def _kept(self, question: Question, made: tuple[Record, ...]) -> Answer:
        answer = Answer(made, aa=True, source=self.word)
        if question.qname in self.source.table.addresses or question.qtype == records.PTR:
            if len(self._known) >= MAX_MEMORISED:
                self._known.clear()
            self._known[question.qname, question.qtype] = answer
        return answer
