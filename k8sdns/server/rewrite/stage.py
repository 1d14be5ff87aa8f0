"""Rules around everything below them: questions in by the rules' order, answers out by the reverse.

Owns the order. Refuses to know what rules do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from k8sdns.answers import SILENT, Answer, Question
from k8sdns.interfaces import ILookup, IStage
from k8sdns.waiting import then

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from k8sdns.server.block import Answered, Respond
    from k8sdns.server.rewrite.responses import Response
    from k8sdns.server.rewrite.rules import Rule


@implementer(IStage)
class Rewriter:
    """The rewrite rules of one block."""

    def __init__(self, rules: Sequence[Rule], lookup: ILookup) -> None:
        self._rules = tuple(rules)
        self._lookup = lookup

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Answer with the rules applied on both ways."""
        asked = question
        wanted: list[Response] = []
        for rule in self._rules:
            applied = rule.apply(asked)
            if applied is None:
                continue
            asked, more = applied
            wanted.extend(more)
            if rule.stops:
                break
        answered = rest(asked)
        for response in reversed(wanted):
            answered = then(answered, self._change(response, asked))
        return answered

    def _change(self, response: Response, asked: Question) -> Callable[[Answer], Answered]:
        def change(answer: Answer) -> Answered:
            return answer if answer is SILENT else response(answer, asked, self._lookup)

        return change
