"""``remote ADDRESS``: the shape of `forward` and `cache`.

An authority whose answers come from another server through a Deferred, and a wrapper that finds
it by its interface and remembers what it said.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, flag
from k8sdns.errors import ServerFailure, WireError
from k8sdns.interfaces import IAuthority, IRemoteAuthority
from k8sdns.server.draft import BlockDraft
from k8sdns.wire import message


@dataclass(frozen=True)
class Settings:
    """Asks another server over UDP."""

    server: tuple[str, int] = argument(kinds.address(53), help="The server to ask.")
    remember: bool = flag(help="Ask for each name once only.")


@implementer(IRemoteAuthority)
class Remote(DatagramProtocol, Service):
    """Asks one server; a reply that does not come is a failure after a second."""

    word = "remote"

    def __init__(self, server: tuple[str, int], reactor: Any) -> None:
        self._server = server
        self._reactor = reactor
        self._waiting: dict[int, Deferred[Answer]] = {}
        self._port: Any = None

    def startService(self) -> None:
        super().startService()
        self._port = self._reactor.listenUDP(0, self, interface="127.0.0.1")

    def stopService(self) -> Any:
        super().stopService()
        return self._port.stopListening()

    def answer(self, question: Question) -> Deferred[Answer]:
        id_ = secrets.randbelow(65536)
        waiting: Deferred[Answer] = Deferred()
        self._waiting[id_] = waiting
        self.transport.write(message.query(id_, question), self._server)
        waiting.addTimeout(1.0, self._reactor, lambda _result, _seconds: self._gave_up())
        return waiting.addBoth(self._done, id_)

    def _gave_up(self) -> Any:
        raise ServerFailure(f"no reply of {self._server[0]}:{self._server[1]} within a second")

    def _done(self, result: Any, id_: int) -> Any:
        self._waiting.pop(id_, None)
        return result

    def datagramReceived(self, datagram: bytes, _address: Any) -> None:
        try:
            found = message.parse(datagram)
        except WireError:
            return
        waiting = self._waiting.get(found.id)
        if waiting is not None:
            sections = (found.answer, found.authority, found.additional)
            waiting.callback(Answer(*sections, rcode=found.rcode, ra=True, source=self.word))


@implementer(IAuthority)
class Remembering:
    """Keeps what an authority said, without end."""

    def __init__(self, inner: Any) -> None:
        self.word = inner.word
        self._inner = inner
        self._kept: dict[tuple[bytes, int], Answer] = {}

    def answer(self, question: Question) -> Any:
        key = question.qname, question.qtype
        if key in self._kept:
            return self._kept[key]
        return self._inner.answer(question).addCallback(self._keep, key)

    def _keep(self, answer: Answer, key: tuple[bytes, int]) -> Answer:
        self._kept[key] = answer
        return answer


def install(settings: Settings, block: BlockDraft) -> None:
    remote = Remote(settings.server, block.context.reactor)
    block.add(remote)


def connect(settings: Settings, block: BlockDraft) -> None:
    if settings.remember:
        for remote in block.all(IRemoteAuthority):
            block.replace(remote, Remembering(remote))


DIRECTIVE = Directive("remote", Settings, install=install, connect=connect, follows="forward")
