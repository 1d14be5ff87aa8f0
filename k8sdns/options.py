"""The options of ``twistd k8sdns``, and every mistake that is found before anything starts.

Owns: ``--check``, ``--dump``, the version lines, which log lines the operator asked for. Refuses
to know what a Corefile means: `k8sdns.assemble` says.

A mistake is told in one line on standard error with exit status 1, from `Options.parseOptions`,
that is before twistd forks, binds or connects. It leaves as ``SystemExit(text)``: twistd answers a
``UsageError`` with its whole help text on standard output, under which the one line would be lost.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, Protocol

import twisted
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python import usage
from zope.interface import implementer

from k8sdns import __version__, drain, logs
from k8sdns.corefile.source import CorefileText, read_corefile
from k8sdns.errors import ConfigurationError

OUR_LINES: Final = "k8sdns.logs.observer"
# Go's names of machines, so that the version line reads like CoreDNS's.
_GO_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class Plan(Protocol):
    """A Corefile that was parsed and validated; nothing was opened, nothing is running."""

    @property
    def banner(self) -> Sequence[str]:
        """One line a zone and listener, as CoreDNS prints them: ``example.org.:1053``."""


class Assembly(Protocol):
    """What the options and the service need of `k8sdns.assemble` (its module, or a fake)."""

    def check(
        self, corefile: CorefileText, *, default_port: int, environ: Mapping[str, str]
    ) -> Plan:
        """Parse and validate a text; raises `ConfigurationError`. Opens and starts nothing."""

    def rehearse(self, plan: Any) -> None:
        """Read every file that a plan names; raises `ConfigurationError` where a start would."""

    def dump(self, corefile: CorefileText, *, environ: Mapping[str, str]) -> str:
        """Return what was understood of the text as JSON text; raises `ConfigurationError`.

        A list of blocks {keys, directives: [{name, args, body, rest}]}; options are not judged.
        """

    def words(self) -> Sequence[str]:
        """Return the words that a server block may hold, in alphabetical order."""

    def build(self, plan: Any, reactor: Any, halt: Any) -> Any:
        """See `k8sdns.service.Build`."""


def real_assembly() -> Assembly:
    """Return `k8sdns.assemble`, imported now: twistd lists its plugins without loading a server."""
    from k8sdns import assemble  # noqa: PLC0415

    return assemble


def version_lines() -> tuple[str, str]:
    """Return the two lines that CoreDNS's ``-version`` prints, in our words."""
    machine = _GO_MACHINES.get(platform.machine(), platform.machine())
    python = f"python{platform.python_version()}"
    system = f"{platform.system().lower()}/{machine}"
    return f"k8sdns-{__version__}", f"{system}, {python}, twisted-{twisted.__version__}"


def port_number(text: str) -> int:
    """Return a port from 1 to 65535; raises ValueError with the rule."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{text!r} is no port: a number from 1 to 65535 is")
    return int(text)


def seconds(text: str) -> float:
    """Return a number of seconds, 0 or more; raises ValueError with the rule."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e6:
        raise ValueError(f"{text!r} is no number of seconds")
    return value


class Options(usage.Options):
    """``twistd k8sdns [options]``. After `parseOptions`, `plan` is what is to be served."""

    synopsis = "[options]"
    longdesc = "Serves the DNS names of a Kubernetes cluster as a CoreDNS Corefile asks for."

    optParameters: ClassVar = [
        ["corefile", "c", None, "Corefile to serve; stdin reads standard input [./Corefile]"],
        ["port", None, 53, "port of zones that name none", port_number],
        ["grace", None, drain.GRACE, "seconds to go on answering after SIGTERM", seconds],
    ]
    optFlags: ClassVar = [
        ["check", None, "parse and validate the Corefile, then exit with status 0 or 1"],
        ["dump", None, "print what was understood of the Corefile as JSON, then exit"],
        ["quiet", None, "print no banner"],
    ]

    plan: Plan
    assembly: Assembly
    parent: usage.Options | None = None  # twistd's own options, set by usage.Options

    def __init__(self, assembly: Assembly | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if assembly is not None:
            self.assembly = assembly
        self.owns_process = False

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the words of a command line; raises SystemExit with the one line to say."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            what = str(error).removeprefix("Parameter type enforcement failed: ")
            raise SystemExit(f"k8sdns: {what}") from None

    def parseArgs(self, *words: str) -> None:
        """Refuse positional words as CoreDNS does."""
        if words:
            raise usage.UsageError(f"extra command line arguments: [{' '.join(words)}]")

    def opt_version(self) -> None:
        """Print the versions of k8sdns, Python and Twisted, then exit."""
        print(*version_lines(), sep="\n")  # noqa: T201
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read and validate the Corefile; raises SystemExit(text), or SystemExit(0) when done."""
        if not hasattr(self, "assembly"):
            self.assembly = real_assembly()
        try:
            self._understand(self.assembly)
        except ConfigurationError as error:
            raise SystemExit(str(error)) from None
        if self.parent is not None:
            self.owns_process = True
            log_our_lines(self.parent)

    def _understand(self, assembly: Assembly) -> None:
        corefile = read_corefile(self["corefile"], self["port"])
        if self["check"] or not self["dump"]:
            self.plan = assembly.check(corefile, default_port=self["port"], environ=os.environ)
        if self["dump"]:
            print(assembly.dump(corefile, environ=os.environ), end="")  # noqa: T201
            raise SystemExit(0)
        if self["check"]:
            with complaints_on_stderr():
                assembly.rehearse(self.plan)
            print(f"{corefile.name or 'built-in Corefile'}: OK")  # noqa: T201
            raise SystemExit(0)


@contextmanager
def complaints_on_stderr() -> Iterator[None]:
    """Have warnings and errors written that are logged meanwhile: nobody reads a log yet."""

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.warn:
            print(logs.line_of(event), file=sys.stderr)  # noqa: T201

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)


def log_our_lines(chosen: dict[str, Any]) -> None:
    """Give twistd our observer where it would log to standard output and chose no other."""
    elsewhere = chosen.get("logger") or chosen.get("syslog")
    if chosen.get("nodaemon") and not elsewhere and chosen.get("logfile") in (None, "-"):
        chosen["logger"] = OUR_LINES
