"""``view``: a block for some queries only (CoreDNS plugin/view)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zope.interface import implementer

from k8sdns.answers import Question
from k8sdns.authorities.expressions import Expression
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Line, Mistake, argument, counted, parsed
from k8sdns.interfaces import IMetadata, IMetadataCollector, IRouting
from k8sdns.server.draft import BlockDraft


def _expression(line: Line, context: Context) -> Expression:
    words = counted(line, context, 1, None, "EXPRESSION")
    return Expression(" ".join(token.text for token in words))


@dataclass(frozen=True)
class Settings:
    """Lets a query into the block if every expression is true of it."""

    name: str = argument(kinds.text("NAME"), help="The view's name, the `view` label of metrics.")
    expr: tuple[Expression, ...] = parsed(
        _expression, form="EXPRESSION", help="Must be true of a query; several lines must all be."
    )

    # The plan lets blocks with views share a zone and port.
    is_view: ClassVar = True

    def check(self, _context: Context) -> None:
        """A view that admits everything is a mistake."""
        if not self.expr:
            raise Mistake("'expr' is required: write expr EXPRESSION in braces")


@implementer(IRouting, IMetadata)
class View:
    """Judges queries; collects their labels first where an expression asks for one."""

    def __init__(self, name: str, expressions: tuple[Expression, ...]) -> None:
        self.name = name
        self._expressions = expressions
        self._uses_metadata = any(each.uses_metadata for each in expressions)
        self.collector: Any = None

    def admits(self, question: Question) -> bool:
        """Tell whether every expression is true of the query."""
        if not self._uses_metadata or self.collector is None:
            return all(each.admits(question) for each in self._expressions)
        question.metadata = self.collector.labels(question)
        is_admitted = all(each.admits(question) for each in self._expressions)
        if not is_admitted:
            question.metadata = None  # the next block has labels of its own
        return is_admitted

    def describe(self, _question: Question, labels: dict[str, str]) -> None:
        """Say which view it was."""
        labels["view/name"] = self.name


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the judge."""
    block.add(View(settings.name, settings.expr))


def connect(_settings: Settings, block: BlockDraft) -> None:
    """Find the block's `metadata`."""
    collector = next(iter(block.all(IMetadataCollector)), None)
    for view in block.all(IRouting):
        if isinstance(view, View):
            view.collector = collector


DIRECTIVE = Directive(
    "view", Settings, install=install, connect=connect, summary="A block for some queries only."
)
