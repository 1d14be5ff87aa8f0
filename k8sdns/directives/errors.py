"""``errors``: log what went wrong with a query (CoreDNS plugin/errors)."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.logger import Logger
from zope.interface import implementer

from k8sdns import records
from k8sdns.answers import Answer, Question
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument
from k8sdns.interfaces import IRepeatObserver
from k8sdns.server.draft import BlockDraft


@dataclass(frozen=True)
class Settings:
    """Logs one line for each query that ended in an error of this server's own."""

    target: str = argument(
        kinds.choice("stdout", complaint="invalid log file: {}"),
        default="stdout",
        help="Where to log; standard output is all there is.",
    )


@implementer(IRepeatObserver)
class ErrorLog:
    """Writes ``<rcode> <name> <type>: <error>`` for each Answer that carries an error."""

    log = Logger(namespace="k8sdns.directives.errors")

    def saw(self, question: Question, answer: Answer, _elapsed: float, _size: int) -> None:
        """Log the error of an Answer, if it has one."""
        if answer.error is None:
            return
        self.log.error(
            "{rcode} {name} {type}: {error}",
            rcode=answer.rcode,
            name=question.name_text,
            type=records.type_name(question.qtype),
            error=answer.error,
        )

    def tally(self, _question: Question, _answer: Answer, _size: int) -> None:
        """Repeated replies carry no error."""


def install(_settings: Settings, block: BlockDraft) -> None:
    """Add the observer."""
    block.add(ErrorLog())


DIRECTIVE = Directive(
    "errors", Settings, install=install, summary="Log queries that ended in an error."
)
