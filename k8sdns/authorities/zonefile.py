"""Zone files (RFC 1035 §5): from text on disk to a `Zone`, entry by entry.

Owns: splitting a file into entries, `$INCLUDE`, bounds, and the place (file:line) of every
mistake. dnspython reads the entries. Refuses to know when files are read again (`zonesource`).

Everything here is a generator that pauses after each entry and record, so that whoever runs it
can read a large file in slices without holding up the queries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from k8sdns import names, records
from k8sdns.authorities.polling import Signature, finished, signature
from k8sdns.authorities.rrtext import BadRecordText, EntryReader
from k8sdns.authorities.zone import Zone, ZoneError
from k8sdns.errors import ConfigurationError
from k8sdns.records import Record

MAX_RECORDS: Final = 1_000_000  # in one zone; $GENERATE makes many from one line
MAX_INCLUDE_DEPTH: Final = 7  # files within files (miekg/dns: 7)
MAX_INCLUDES: Final = 1000  # included files of one zone
MAX_ENTRY: Final = 1 << 20  # characters between parentheses
MAX_WARNINGS: Final = 20  # of one file that are told; the rest is counted

# What changes the meaning of parentheses and line ends: escapes, strings, comments.
_MARK = re.compile(r'\\.|"(?:\\.|[^"\\])*"?|;.*|[()]')
_HAS_MARK = re.compile(r'[()";\\]')
_INCLUDE = re.compile(r"\$INCLUDE\b", re.IGNORECASE)


class ZoneFileError(ConfigurationError):
    """A zone file that cannot be read; ``str()`` is ``file:line: message`` or ``file: message``."""

    def __init__(self, message: str, file: str, line: int | None = None) -> None:
        self.message = message
        self.file = file
        self.line = line
        super().__init__(f"{file}: {message}" if line is None else f"{file}:{line}: {message}")


class Loaded(NamedTuple):
    """A zone, the files that it was read from as they were then, and what is odd, in words."""

    zone: Zone
    files: tuple[str, ...]
    seen: Signature  # of `files`, each taken when it was opened
    warnings: tuple[str, ...]


def load(path: str, origin: bytes) -> Loaded:
    """Read the zone `origin` from the file `path` at once; raises `ZoneFileError` or OSError."""
    return finished(loading(path, origin))


def loading(path: str, origin: bytes) -> Generator[None, None, Loaded]:
    """Read the zone `origin` from the file `path`, pausing after each entry.

    Raises `ZoneFileError`, or OSError if `path` itself cannot be opened.
    """
    return (yield from _Loading(path, origin).run())


class _Loading:
    """One zone on its way from its files."""

    def __init__(self, path: str, origin: bytes) -> None:
        self._path = path
        self._origin = origin
        self._files: list[str] = []
        self._seen: Signature = ()
        self._records: list[Record] = []
        self._warnings: list[str] = []
        self._foreign = 0
        self._reader = EntryReader(origin, most=MAX_RECORDS)

    def run(self) -> Generator[None, None, Loaded]:
        with open(self._path, encoding="utf-8", errors="surrogateescape") as lines:
            yield from self._file(self._path, lines, 0)
        try:
            zone = yield from Zone.building(self._origin, self._records)
        except ZoneError as error:
            raise ZoneFileError(str(error), self._path) from None
        self._warnings += [
            f"{self._path}: {fault}" for fault in islice(zone.faults(), MAX_WARNINGS)
        ]
        if self._foreign > MAX_WARNINGS:
            self._warnings.append(
                f"{self._path}: {self._foreign} records outside the zone left out"
            )
        return Loaded(zone, tuple(self._files), self._seen, tuple(self._warnings))

    def _file(self, path: str, lines: Iterable[str], depth: int) -> Generator[None, None, None]:
        self._files.append(path)
        self._seen += signature((path,))
        for line, entry in entries(lines, path):
            if _INCLUDE.match(entry):
                yield from self._include(path, line, entry, depth)
            else:
                self._entry(path, line, entry)
            yield

    def _entry(self, path: str, line: int, entry: str) -> None:
        try:
            found = self._reader.read(entry)
        except BadRecordText as error:
            raise ZoneFileError(str(error), path, line) from None
        for record in found:
            if names.is_subdomain(record.owner.lower(), self._origin):
                self._records.append(record)
            else:
                self._leave_out(record, path, line)

    def _leave_out(self, record: Record, path: str, line: int) -> None:
        self._foreign += 1
        if self._foreign <= MAX_WARNINGS:
            self._warnings.append(
                f"{path}:{line}: {names.to_text(record.owner)} {records.type_name(record.rtype)} "
                f"is outside the zone {names.to_text(self._origin)} and left out"
            )

    def _include(self, path: str, line: int, entry: str, depth: int) -> Generator[None, None, None]:
        """Read ``$INCLUDE file [origin]``; relative files stand beside the file that names them."""
        words = entry.partition(";")[0].split()
        if len(words) not in {2, 3}:
            raise ZoneFileError("$INCLUDE takes a file and perhaps an origin", path, line)
        if depth >= MAX_INCLUDE_DEPTH or len(self._files) > MAX_INCLUDES:
            raise ZoneFileError(
                f"too many nested $INCLUDE: at most {MAX_INCLUDE_DEPTH} levels, "
                f"{MAX_INCLUDES} files", path, line,
            )  # fmt: skip
        included = os.path.join(os.path.dirname(path), words[1].strip('"'))
        state = self._reader.state()
        if len(words) == 3:
            self._reader.origin = self._absolute(words[2], path, line)
        try:
            with open(included, encoding="utf-8", errors="surrogateescape") as lines:
                yield from self._file(included, lines, depth + 1)
        except OSError as error:
            raise ZoneFileError(f"$INCLUDE {included}: {error.strerror}", path, line) from None
        self._reader.restore(state)

    def _absolute(self, text: str, path: str, line: int) -> bytes:
        try:
            name = names.from_text(text)
            if text.endswith("."):
                return name
            return names.from_labels(names.labels_of(name), self._reader.origin)
        except names.BadName as error:
            raise ZoneFileError(str(error), path, line) from None


def entries(lines: Iterable[str], path: str = "") -> Iterator[tuple[int, str]]:
    """Yield (line number, text) of every entry; parentheses join lines (RFC 1035 §5.1)."""
    held: list[str] = []
    begun = depth = size = 0
    for number, line in enumerate(lines, 1):
        if not held and not _HAS_MARK.search(line):
            if not line.isspace():
                yield number, line
            continue
        begun = begun if held else number
        held.append(line)
        size += len(line)
        depth = max(0, depth + _depth_change(line))
        if depth and size > MAX_ENTRY:
            raise ZoneFileError(f"an entry of more than {MAX_ENTRY} characters", path, begun)
        if not depth:
            yield begun, "".join(held)
            held, size = [], 0
    if held:
        raise ZoneFileError("this parenthesis is never closed", path, begun)


def _depth_change(line: str) -> int:
    marks = _MARK.findall(line)
    return marks.count("(") - marks.count(")")
