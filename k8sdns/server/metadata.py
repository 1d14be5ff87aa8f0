"""Labels about a query, collected from all who know something about it.

Owns: when they are collected, and for which names. Refuses to know what labels mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from zope.interface import implementer

from k8sdns import names
from k8sdns.answers import Question
from k8sdns.interfaces import IMetadataCollector, IStage
from k8sdns.server.block import Answered, Respond


@implementer(IStage, IMetadataCollector)
class Collector:
    """Puts the labels of `sources` (IMetadata) into questions for names in `zones`."""

    def __init__(self, zones: Iterable[bytes], sources: Sequence[Any] = ()) -> None:
        self._zones = names.ZoneMap((zone, None) for zone in zones)
        self.sources = sources

    def labels(self, question: Question) -> dict[str, str] | None:
        """Return what is known about a question; None for names that nobody asked about."""
        if self._zones.find(question.qname) is None:
            return None
        labels: dict[str, str] = {}
        for source in self.sources:
            source.describe(question, labels)
        return labels

    def respond(self, question: Question, rest: Respond) -> Answered:
        """Collect, unless the choice of the block needed the labels already; ask on."""
        if question.metadata is None:
            question.metadata = self.labels(question)
        return rest(question)
