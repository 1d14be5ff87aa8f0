"""What queries count for, and that it costs next to nothing."""

from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given, strategies as st

from k8sdns import metrics, names, records
from k8sdns.answers import SILENT, Answer, Edns, Question
from k8sdns.metrics import SIZE_BUCKETS, Metrics
from k8sdns.records import Record
from k8sdns.web import queries
from k8sdns.web.queries import QueryObserver, QueryTable

ZONE = names.from_text("cluster.local")
SERVED = ("dns://:53", "cluster.local.", "")


class Server:
    name = "dns://:53"


def question(qtype=records.A, *, host="192.0.2.9", size=40, do=None, is_stream=False):
    asked = Question(names.from_text("a.cluster.local"), qtype)
    asked.server = Server
    asked.route_zone = ZONE
    asked.address = (host, 4321)
    asked.message = bytes(size)
    asked.is_stream = is_stream
    if do is not None:
        asked.edns = Edns(1232, do)
    return asked


ANSWER = Answer((Record(names.from_text("a.cluster.local"), 1, 5, b"abcd"),), source="kubernetes")


@pytest.fixture
def counted():
    return Metrics()


@pytest.fixture
def rows(counted):
    return QueryTable(counted)


@pytest.fixture
def observer(rows):
    return QueryObserver(rows)


def fold(table):
    for _ in table.fold():
        pass


def test_a_query_moves_every_core_metric(counted, rows, observer):
    observer.saw(question(do=True), ANSWER, 0.003, 60)
    fold(rows)
    assert counted.counts[metrics.DNS_REQUESTS] == {(*SERVED, "udp", "1", "A"): 1}
    assert counted.counts[metrics.DNS_RESPONSES] == {(*SERVED, "NOERROR", "kubernetes"): 1}
    assert counted.counts[metrics.DNS_DO_REQUESTS] == {SERVED: 1}
    durations = counted.histograms[metrics.DNS_REQUEST_DURATION]
    assert durations.counts[SERVED].index(1) == 4  # 2 ms to 4 ms
    assert durations.sums[SERVED] == 0.003
    sizes = counted.histograms[metrics.DNS_REQUEST_SIZE]
    assert (sizes.counts[(*SERVED, "udp")].index(1), sizes.sums[(*SERVED, "udp")]) == (1, 40)
    octets = ANSWER.uncompressed_size(question())
    assert counted.histograms[metrics.DNS_RESPONSE_SIZE].sums[(*SERVED, "udp")] == octets


def test_only_do_queries_count_as_such(counted, rows, observer):
    observer.saw(question(do=False), ANSWER, 0, 60)
    observer.saw(question(), ANSWER, 0, 60)
    fold(rows)
    assert counted.counts[metrics.DNS_DO_REQUESTS] == {}


@pytest.mark.parametrize(
    "asked, label",
    [
        ({"host": "192.0.2.1"}, ("udp", "1", "A")),
        ({"host": "::ffff:192.0.2.1"}, ("udp", "1", "A")),
        ({"host": "2001:db8::1"}, ("udp", "2", "A")),
        ({"host": "fe80::1%eth0.1"}, ("udp", "2", "A")),
        ({"is_stream": True}, ("tcp", "1", "A")),
        ({"qtype": records.HTTPS}, ("udp", "1", "HTTPS")),
        ({"qtype": records.ANY}, ("udp", "1", "ANY")),
        ({"qtype": records.NAPTR}, ("udp", "1", "other")),
        ({"qtype": 65280}, ("udp", "1", "other")),
    ],
)
def test_protocol_family_and_type(counted, rows, observer, asked, label):
    observer.saw(question(**asked), ANSWER, 0, 60)
    fold(rows)
    assert list(counted.counts[metrics.DNS_REQUESTS]) == [(*SERVED, *label)]


def test_what_is_refused_outside_every_block_is_dropped(counted, rows, observer):
    observer.saw_refused(question(), Answer(rcode=records.REFUSED), 0, 30)
    fold(rows)
    dropped = ("dns://:53", "dropped", "")
    assert counted.counts[metrics.DNS_RESPONSES] == {(*dropped, "REFUSED", ""): 1}


def test_silence_is_a_reply_of_no_octets(counted, rows, observer):
    observer.saw(question(), SILENT, 0, 0)
    fold(rows)
    sizes = counted.histograms[metrics.DNS_RESPONSE_SIZE]
    assert sizes.counts[(*SERVED, "udp")][0] == 1


def test_the_view_of_a_block_is_a_label(counted, rows):
    QueryObserver(rows, "inside").saw(question(), ANSWER, 0, 60)
    fold(rows)
    assert list(counted.counts[metrics.DNS_DO_REQUESTS]) == []
    assert list(counted.histograms[metrics.DNS_REQUEST_DURATION].counts) == [
        ("dns://:53", "cluster.local.", "inside")
    ]


@given(st.integers(0, 0xFFFF))
def test_every_size_of_a_message_has_its_bucket(octets):
    assert queries._BUCKET[octets] == bisect_left(SIZE_BUCKETS, octets)


def test_an_answer_may_be_larger_than_any_message(counted, rows, observer):
    many = Answer((Record(ZONE, 16, 5, bytes(1000)),) * 70)
    observer.saw(question(), many, 0, 60)
    fold(rows)
    sizes = counted.histograms[metrics.DNS_RESPONSE_SIZE].counts[(*SERVED, "udp")]
    assert sizes[-1] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 28, 33, 99]),
            st.booleans(),
            st.sampled_from([0.0, 0.0002, 0.5, 20.0]),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_nothing_is_lost_and_nothing_counts_twice(asked):
    """Whatever is repeated, and whenever somebody scrapes."""
    counted = Metrics()
    rows = QueryTable(counted)
    observer = QueryObserver(rows)
    total = 0
    for qtype, do, elapsed, again, scrape in asked:
        query = question(qtype, do=do)
        observer.saw(query, ANSWER, elapsed, 60)
        observer.tally(query, ANSWER, 60)(again)
        total += 1 + again
        if scrape:
            fold(rows)
    fold(rows)
    fold(rows)
    assert sum(counted.counter(metrics.DNS_REQUESTS).values()) == total
    assert sum(counted.counter(metrics.DNS_RESPONSES).values()) == total
    for metric in (
        metrics.DNS_REQUEST_DURATION, metrics.DNS_REQUEST_SIZE, metrics.DNS_RESPONSE_SIZE,
    ):  # fmt: skip
        histogram = counted.histogram(metric)
        assert sum(map(sum, histogram.counts.values())) == total
    asked_sizes = counted.histogram(metrics.DNS_REQUEST_SIZE)
    assert sum(asked_sizes.sums.values()) == total * 40


def test_rows_are_bounded_though_nobody_scrapes(counted):
    rows = QueryTable(counted, max_rows=20)
    observer = QueryObserver(rows)
    for number in range(500):
        observer.saw(question(), Answer(source=str(number)), 0, 60)
    assert len(rows.rows) <= 20
    fold(rows)
    assert sum(counted.counts[metrics.DNS_RESPONSES].values()) == 500


def test_two_scrapes_at_once_lose_nothing(counted, rows, observer):
    for number in range(10):
        observer.saw(question(), Answer(source=str(number)), 0, 60)
    one, other = rows.fold(), rows.fold()
    for _ in range(20):
        next(one, None)
        observer.saw(question(), Answer(source="0"), 0, 60)
        next(other, None)
    fold(rows)
    assert sum(counted.counts[metrics.DNS_RESPONSES].values()) == 30
