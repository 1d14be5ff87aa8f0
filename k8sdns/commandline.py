"""The ``k8sdns`` command: CoreDNS's flags, so that an image can be swapped under its manifest.

Owns: Go-style flags, the pid file, the run in the foreground. Refuses to know everything else:
it fills the options that ``twistd k8sdns`` has and runs the same service.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from twisted.application.app import startApplication
from twisted.application.service import Application, IService
from twisted.logger import Logger, globalLogBeginner

from k8sdns import logs
from k8sdns.errors import ConfigurationError
from k8sdns.options import Options, real_assembly, version_lines
from k8sdns.service import global_reactor, makeService

log = Logger()


class _Flags(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SystemExit(f"k8sdns: {message}")


def flags() -> argparse.ArgumentParser:
    """Return the parser of CoreDNS's flags, each with one dash or two."""
    parser = _Flags("k8sdns", allow_abbrev=False, add_help=False)
    parser.add_argument("-conf", "--conf", metavar="FILE", help="Corefile (stdin: standard input)")
    parser.add_argument(
        "-dns.port", "--dns.port", "-p", "--p", dest="port", metavar="N", default="53",
        help="port of zones that name none",
    )  # fmt: skip
    parser.add_argument("-pidfile", "--pidfile", metavar="FILE", help="write the process id here")
    for name, text in _SWITCHES.items():
        parser.add_argument(f"-{name}", f"--{name}", action="store_true", help=text)
    parser.add_argument("-help", "--help", "-h", action="help", help="show this text")
    return parser


_SWITCHES = {
    "plugins": "list the words that a server block may hold",
    "version": "print the version",
    "quiet": "print no banner",
    "check": "validate the Corefile and exit",
    "dump": "print what was understood of the Corefile as JSON and exit",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status. Mistakes leave as SystemExit with one line."""
    chosen, rest = flags().parse_known_args(arguments)
    if rest:
        if rest[0].startswith("-"):
            raise SystemExit(f"flag provided but not defined: {rest[0]}")
        raise SystemExit(f"extra command line arguments: [{' '.join(rest)}]")
    if chosen.version or chosen.plugins:
        lines = version_lines() if chosen.version else real_assembly().words()
        print(*lines, sep="\n")  # noqa: T201
        return 0
    options = Options()
    options.parseOptions(_as_twistd(chosen))
    options.owns_process = True
    return run(options, chosen.pidfile)


def _as_twistd(chosen: argparse.Namespace) -> list[str]:
    words = [f"--port={chosen.port}"]
    if chosen.conf:
        words.append(f"--corefile={chosen.conf}")
    return words + [f"--{name}" for name in ("quiet", "check", "dump") if getattr(chosen, name)]


def run(options: Options, pidfile: str | None = None) -> int:
    """Serve in the foreground until a signal comes; returns the exit status."""
    application = Application("k8sdns")
    makeService(options).setServiceParent(application)  # type: ignore[no-untyped-call]
    globalLogBeginner.beginLoggingTo([logs.observer()])
    try:
        IService(application).privilegedStartService()
        startApplication(application, save=False)
    except ConfigurationError as error:
        (sys.__stderr__ or sys.stderr).write(f"{error}\n")
        return 1
    if pidfile:
        _write_pid(pidfile)
    global_reactor().run()
    if pidfile:
        _remove(pidfile)
    return 0


def _write_pid(path: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    except OSError as error:  # CoreDNS serves on, too
        log.error("cannot write the pid file {path}: {why}", path=path, why=error.strerror)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        log.error("cannot remove the pid file {path}: {why}", path=path, why=error.strerror)
