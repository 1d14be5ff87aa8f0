"""Log lines in CoreDNS's form on standard output, without ever waiting for whoever reads them.

Owns: the form of a line, the bounded queue, the writer thread. Refuses to know what is worth
logging. Everything logs through `twisted.logger`; this is one observer among others.

A line is ``[LEVEL] message`` or ``[LEVEL] plugin/word: message`` (CoreDNS's behaviour). The
observer formats and queues; a thread writes. When the queue is full, because standard output is a
pipe that nobody reads, lines are dropped and counted, and the server goes on.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, formatEvent
from zope.interface import implementer

MAX_LINES: Final = 10_000
MAX_LINE_CHARACTERS: Final = 16_384
BATCH_LINES: Final = 256
LINGER: Final = 0.005  # seconds that the writer waits for company before it writes
EXIT_FLUSH: Final = 1.0  # seconds that the end of the process waits for the last lines

# Event key: the message is the whole line (the start-up banner, JSON lines of `log`).
BARE: Final = "k8sdns_bare"

_LEVELS: Final = {
    LogLevel.debug: "[DEBUG] ",
    LogLevel.info: "[INFO] ",
    LogLevel.warn: "[WARNING] ",
    LogLevel.error: "[ERROR] ",
    LogLevel.critical: "[ERROR] ",
}
# Packages whose modules speak for the directive of the same name.
_SPEAKS_FOR: Final = {"directives": None, "authorities": None, "web": None, "cluster": "kubernetes"}
# One event is one line, whatever a peer put into it.
_ONE_LINE: Final = str.maketrans({c: f"\\x{c:02x}" for c in (*range(32), 127) if c != ord("\t")})


class LineWriter:
    """A bounded queue of lines and the thread that writes them to a file descriptor.

    `dropped` counts the lines that were lost to a full queue or a closed reader. The thread starts
    with the first line, and anew after a fork.
    """

    def __init__(
        self, write: Callable[[bytes], None], *, bound: int = MAX_LINES, linger: float = LINGER
    ) -> None:
        self.dropped = 0
        self.write = write
        self._bound = bound
        self._linger = linger
        self._lines: deque[str] = deque()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._pid = 0

    def put(self, line: str) -> None:
        """Queue `line` (no newline at its end) or drop and count it; never waits."""
        if self._pid != os.getpid():
            self._start()
        if len(self._lines) >= self._bound:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout: float) -> None:
        """Wait until every line is written, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._unwritten() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _unwritten(self) -> bool:
        return self._pid == os.getpid() and (self._wake.is_set() or not self._idle.is_set())

    def _start(self) -> None:
        # A forked child has the lines of its parent, who writes them, and no thread.
        self._pid = os.getpid()
        self._lines.clear()
        self.dropped = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="k8sdns-log", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._idle.clear()
            time.sleep(self._linger)
            self._wake.clear()
            self._drain()
            self._idle.set()

    def _drain(self) -> None:
        while self._lines:
            batch = [self._lines.popleft() for _ in range(min(BATCH_LINES, len(self._lines)))]
            octets = "".join(f"{line}\n" for line in batch).encode("utf-8", "backslashreplace")
            try:
                self.write(octets)
            except OSError:  # the reader is gone; there is nobody left to tell
                self.dropped += len(batch)


def write_all(descriptor: int, octets: bytes) -> None:
    """Write every octet to `descriptor`, waiting where it is a full non-blocking pipe."""
    view = memoryview(octets)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def write_whole_lines(descriptor: int, octets: bytes) -> None:
    """Write lines so that processes which share a pipe do not cut each other's.

    Up to PIPE_BUF octets are written at once or not at all (pipe(7)); longer lines may be cut.
    """
    begin = 0
    while begin < len(octets):
        end = begin + select.PIPE_BUF
        if end < len(octets):
            end = octets.rfind(b"\n", begin, end) + 1 or octets.find(b"\n", begin) + 1
        write_all(descriptor, octets[begin:end])
        begin = min(end, len(octets))


def word_of(namespace: str) -> str:
    """Return the directive that a logger's `namespace` speaks for, "" for none."""
    root, _, inside = namespace.partition(".")
    package, _, module = inside.partition(".")
    if root != "k8sdns" or not module or package not in _SPEAKS_FOR:
        return ""
    return _SPEAKS_FOR[package] or module.partition(".")[0]


def line_of(event: LogEvent) -> str:
    """Return `event` as CoreDNS would write it; a failure brings its traceback on further lines."""
    if "log_failure" in event:
        text = eventAsText(event, includeTimestamp=False, includeSystem=False).rstrip("\n")
    else:
        text = formatEvent(event).translate(_ONE_LINE)
    if len(text) > MAX_LINE_CHARACTERS:
        text = text[:MAX_LINE_CHARACTERS] + "..."
    if event.get(BARE):
        return text
    level = _LEVELS.get(event.get("log_level", LogLevel.info), "[INFO] ")
    word = word_of(event.get("log_namespace", ""))
    return f"{level}plugin/{word}: {text}" if word else f"{level}{text}"


# Twisted's ports say that they start and stop, whatever their factory's `noisy` says; our banner
# says it in CoreDNS's words. The event is known by its text alone.
_PORT_CHATTER = re.compile(r".* starting on '?[\w./-]+'?|\((?:TCP|TLS|Port).* Closed\)")


@implementer(ILogObserver)
class LineObserver:
    """Writes events as lines; debug events only while `debug` is true (CoreDNS's `debug`)."""

    def __init__(self, lines: LineWriter) -> None:
        self.lines = lines
        self.debug = False

    def __call__(self, event: LogEvent) -> None:
        """Queue one event; called by twisted.logger."""
        if event.get("log_level") is LogLevel.debug and not self.debug:
            return
        line = line_of(event)
        if event.get("log_namespace") == "log_legacy" and _PORT_CHATTER.fullmatch(line[7:]):
            return
        self.lines.put(line)


@cache
def observer() -> LineObserver:
    """Return the process's observer on standard output; ``--logger k8sdns.logs.observer``."""
    lines = LineWriter(lambda octets: write_all(1, octets))
    atexit.register(lines.flush, EXIT_FLUSH)
    return LineObserver(lines)


def is_in_use() -> bool:
    """Tell whether anybody asked for `observer`: whether lines go to standard output."""
    return observer.cache_info().currsize > 0


def flush() -> None:
    """Wait for the last lines on standard output, at most `EXIT_FLUSH` seconds."""
    observer().lines.flush(EXIT_FLUSH)
