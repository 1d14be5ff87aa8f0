"""``cancel``: how long a query may wait for its answer (CoreDNS plugin/cancel)."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from k8sdns.answers import Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.interfaces import IStage
from k8sdns.server.block import Answered, Respond
from k8sdns.server.deadlines import Deadlines
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Gives up on a query that waited this long: SERVFAIL."""

    timeout: float = argument(
        kinds.duration(0.001, 3600.0), default=5.001, help="The longest wait."
    )


@implementer(IStage)
class Patience(Service):
    """Cancels what its block waits for too long; one timer serves all queries."""

    def __init__(self, clock: IReactorTime, timeout: float) -> None:
        self._deadlines = Deadlines(clock, timeout)

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Ask on, and watch what has to be waited for."""
        answer = rest(question)
        if isinstance(answer, Deferred):
            return self._deadlines.watch(answer)
        return answer

    def stopService(self) -> None:
        """Wait for nothing any longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._deadlines.cancel_all()


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    block.add(Patience(block.context.clock, settings.timeout))


DIRECTIVE = Directive("cancel", Settings, install=install, summary="Bound the wait of a query.")
