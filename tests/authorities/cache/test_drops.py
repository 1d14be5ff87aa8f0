"""Replies that do not answer the question are passed on, not kept, and counted."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from k8sdns import metrics as table, names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.cache.service import CacheService
from k8sdns.authorities.cache.settings import CacheSettings
from k8sdns.metrics import Metrics

NAME, OTHER = names.from_text("www.example.org"), names.from_text("other.example.org")
LABELS = ("dns://:53", ".", "")


class Upstream(Authority):
    """Answers any question with the same address record."""

    word = "forward"

    def __init__(self, owner: bytes) -> None:
        super().__init__()
        self.owner = owner
        self.asked = 0

    def answer(self, question: Question) -> Answer:
        self.asked += 1
        return Answer((records.address(self.owner, "192.0.2.1", 60),), ra=True, source=self.word)


@pytest.mark.parametrize(("owner", "asked", "drops"), [(NAME, 1, 0), (OTHER, 2, 2)])
def test_what_does_not_answer_is_counted_each_time(owner: bytes, asked: int, drops: int) -> None:
    upstream, metrics = Upstream(owner), Metrics()
    service = CacheService(CacheSettings(), Clock(), metrics, "dns://:53")
    service.startService()
    cached = service.wrap(upstream)
    for _ in range(2):
        found = cached.answer(Question(NAME))
        assert isinstance(found, Answer)
    service.stopService()
    assert upstream.asked == asked
    assert metrics.counter(table.CACHE_DROPS)[LABELS] == drops
