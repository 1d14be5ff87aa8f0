"""Counting queries: what every query costs, and what a scrape makes of it.

Owns one table of rows, a row for every combination of what metrics tell queries apart by. A
query bumps numbers in its row, and nothing is labelled, named or summed up before a scrape
*folds* the rows into `k8sdns.metrics`. Refuses to know HTTP and Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, TypeAlias

from zope.interface import classImplements

from k8sdns import names, records
from k8sdns.answers import SILENT, Answer, Question
from k8sdns.interfaces import IRefusalObserver, IRepeatObserver
from k8sdns.metrics import (
    DNS_DO_REQUESTS,
    DNS_REQUEST_DURATION,
    DNS_REQUEST_SIZE,
    DNS_REQUESTS,
    DNS_RESPONSE_SIZE,
    DNS_RESPONSES,
    SIZE_BUCKETS,
    TIME_BUCKETS,
    Metrics,
)

Key: TypeAlias = tuple[str, bytes, str, bool, bool, int, bool, int, str]
"""Server, zone, view, is stream, is IPv6, type, DO, RCODE, source."""
Row: TypeAlias = list[float]

DROPPED: Final = b"dropped"  # stands for a zone, of which it is no wire form
MAX_ROWS: Final = 4096  # beyond them old rows are folded though nobody scrapes

# The types that metrics name (CoreDNS plugin/metrics/vars); all others are one: a client must
# not be able to make series.
COUNTED_TYPES: Final = frozenset(
    records.TYPES[name]
    for name in (
        "AAAA", "A", "CNAME", "DNSKEY", "DS", "MX", "NSEC3", "NSEC", "NS", "PTR", "RRSIG", "SOA",
        "SRV", "TXT", "HTTPS", "SVCB", "IXFR", "AXFR", "ANY",
    )
)  # fmt: skip
OTHER: Final = 0

# A row: buckets of the duration, of the query's size, of the reply's size; then the three sums.
_ASKED: Final = len(TIME_BUCKETS) + 1
_SAID: Final = _ASKED + len(SIZE_BUCKETS) + 1
_SUMS: Final = _SAID + len(SIZE_BUCKETS) + 1
_EMPTY: Final[Row] = [0] * (_SUMS + 3)
_LAST: Final = len(SIZE_BUCKETS)
_FIRST: Final = TIME_BUCKETS[0]
_MAX_OCTETS: Final = 0xFFFF
# The bucket of every size that a message can have.
_BUCKET: Final = b"".join(
    bytes([at]) * int(bound - before)
    for at, (before, bound) in enumerate(pairwise((-1.0, *SIZE_BUCKETS, float(_MAX_OCTETS))))
)


class QueryTable:
    """The rows of all blocks, and the metrics that they end in."""

    def __init__(self, metrics: Metrics, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self.rows: dict[Key, Row] = {}
        self._requests = metrics.counter(DNS_REQUESTS)
        self._responses = metrics.counter(DNS_RESPONSES)
        self._do = metrics.counter(DNS_DO_REQUESTS)
        self._durations = metrics.histogram(DNS_REQUEST_DURATION)
        self._asked = metrics.histogram(DNS_REQUEST_SIZE)
        self._said = metrics.histogram(DNS_RESPONSE_SIZE)

    def made(self, key: Key) -> Row:
        """Return a new row for `key`; makes room where rows are many."""
        rows = self.rows
        if len(rows) >= self._max_rows:
            for old in [key for key, _ in zip(rows, range(8), strict=False)]:
                self._fold(old)
        row = rows[key] = _EMPTY.copy()
        return row

    def fold(self) -> Iterator[None]:
        """Move what was counted into the metrics, one row a step."""
        for key in list(self.rows):
            self._fold(key)
            yield

    def _fold(self, key: Key) -> None:
        row = self.rows.pop(key, None)
        if row is None:  # another scrape, meanwhile
            return
        server, zone, view, is_stream, is_ipv6, qtype, do, rcode, source = key
        served = (server, "dropped" if zone is DROPPED else names.to_text(zone), view)
        proto = "tcp" if is_stream else "udp"
        family = "2" if is_ipv6 else "1"
        counts: list[int] = [int(count) for count in row[:_SUMS]]
        total = sum(counts[:_ASKED])
        kind = records.type_name(qtype) if qtype else "other"
        self._requests.add(*served, proto, family, kind, by=total)
        self._responses.add(*served, records.rcode_name(rcode), source, by=total)
        if do:
            self._do.add(*served, by=total)
        self._durations.add(served, counts[:_ASKED], row[_SUMS])
        self._asked.add((*served, proto), counts[_ASKED:_SAID], row[_SUMS + 1])
        self._said.add((*served, proto), counts[_SAID:_SUMS], row[_SUMS + 2])


class QueryObserver:
    """Counts the queries of one block, `view` being its name as a view; shares the table."""

    def __init__(self, table: QueryTable, view: str = "") -> None:
        self._rows = table.rows
        self._made = table.made
        self._view = view

    def saw(self, question: Question, answer: Answer, elapsed: float, _size: int) -> None:
        """Count one reply."""
        key = self._key(question, answer)
        try:
            row = self._rows[key]
        except KeyError:
            row = self._made(key)
        asked = len(question.message)
        said = 0 if answer is SILENT else answer.uncompressed_size(question)
        row[0 if elapsed <= _FIRST else bisect_left(TIME_BUCKETS, elapsed)] += 1
        row[_ASKED + _BUCKET[asked]] += 1
        row[_SAID + (_BUCKET[said] if said <= _MAX_OCTETS else _LAST)] += 1
        row[_SUMS] += elapsed
        row[_SUMS + 1] += asked
        row[_SUMS + 2] += said

    def saw_refused(self, question: Question, answer: Answer, elapsed: float, size: int) -> None:
        """Count one reply that no block gave."""
        question.route_zone = DROPPED
        self.saw(question, answer, elapsed, size)

    def tally(self, question: Question, answer: Answer, _size: int) -> Callable[[int], None]:
        """Return what counts further replies like this one, which took next to no time."""
        key = self._key(question, answer)
        find, made = self._rows.get, self._made
        asked = len(question.message)
        said = answer.uncompressed_size(question)
        asked_at = _ASKED + _BUCKET[asked]
        said_at = _SAID + _BUCKET[said]

        def add(count: int) -> None:
            row = find(key) or made(key)
            row[0] += count
            row[asked_at] += count
            row[said_at] += count
            row[_SUMS + 1] += asked * count
            row[_SUMS + 2] += said * count

        return add

    def _key(self, question: Question, answer: Answer) -> Key:
        qtype = question.qtype
        edns = question.edns
        host = question.address[0]
        return (
            question.server.name,
            question.route_zone,
            self._view,
            question.is_stream,
            ":" in host and not host.startswith("::ffff:"),
            qtype if qtype in COUNTED_TYPES else OTHER,
            edns is not None and edns.do,
            answer.rcode,
            answer.source,
        )


# Not by a decorator: mypyc would not make it a native class.
classImplements(QueryObserver, IRepeatObserver, IRefusalObserver)
