"""``/ready``: whether everything that reports readiness is ready, and what is waited for.

Owns the judgement over the reporters and the page. Refuses to know what they wait for.
(CoreDNS plugin/ready.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface import implementer

from k8sdns.interfaces import ILeaving
from k8sdns.web.sites import Placed, WebListener, text

log = Logger()

PATH: Final = b"/ready"
UNTIL_READY: Final = "until-ready"
CONTINUOUSLY: Final = "continuously"


class Readiness:
    """What the blocks of one Corefile wait for.

    `reporters` provide IReadiness. Monitored until ready, a reporter that was ready once is never
    asked again: a cluster's API server that goes away later costs no pod its traffic.
    """

    def __init__(self) -> None:
        self.monitor = UNTIL_READY
        self.is_leaving = False
        self._reporters: list[Any] = []
        self._done: list[Any] = []

    def watch(self, reporters: Iterable[Any]) -> None:
        """Ask these, too."""
        self._reporters += [each for each in reporters if each not in self._reporters]

    def missing(self) -> dict[str, list[str]]:
        """Return for every word that reports what its instances wait for; [] is ready."""
        found: dict[str, list[str]] = {}
        for reporter in self._reporters:
            waits = found.setdefault(reporter.word, [])
            if reporter in self._done:
                continue
            waits_for = reporter.waits_for()
            if waits_for:
                waits.append(waits_for)
            elif self.monitor == UNTIL_READY:
                self._done.append(reporter)
        return found


class ReadyPage(Resource):
    """200 and OK, or 503 and the words that are not ready; more of it with ``?verbose``."""

    isLeaf = True

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._readiness = readiness

    def render_GET(self, request: Request) -> bytes:
        """Judge, and say so."""
        # A probe over a connection from before would not notice that the socket is closed.
        request.setHeader(b"connection", b"close")
        channel: Any = request.channel
        request.notifyFinish().addCallbacks(lambda _: channel.loseConnection(), lambda _: None)
        if self._readiness.is_leaving:
            request.setResponseCode(503)
            return text(request, "Shutting down")
        missing = self._readiness.missing()
        words = sorted(word for word, waits in missing.items() if waits)
        if words:
            request.setResponseCode(503)
            log.info('Plugins not ready: "{words}"', words=",".join(words))
        if _is_asked_for(b"verbose", request):
            return _in_full(request, missing)
        return text(request, ",".join(words) or "OK")


def _is_asked_for(word: bytes, request: Request) -> bool:
    # Twisted's `args` leaves out a word without a value.
    asked = request.uri.partition(b"?")[2].split(b"&")
    return word in [each.partition(b"=")[0] for each in asked]


def _in_full(request: Request, missing: dict[str, list[str]]) -> bytes:
    request.setHeader(b"content-type", b"application/json")
    return msgspec.json.encode(
        {
            "ready": not any(missing.values()),
            "words": {
                word: {"ready": not waits, "waits_for": "; ".join(waits)}
                for word, waits in sorted(missing.items())
            },
        }
    )


@implementer(ILeaving)
class Ready(Placed):
    """The page on one listener, gone as soon as the process is told to end."""

    def __init__(self, listener: WebListener, readiness: Readiness) -> None:
        super().__init__(listener, {PATH: ReadyPage(readiness)})
        self._readiness = readiness

    def leave(self) -> None:
        """Be refused from now on, or, where others use the socket, say why not."""
        self._readiness.is_leaving = True
        if len(self._listener.pages) == 1:
            self._listener.stop_listening()
