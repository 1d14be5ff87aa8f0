"""Counters of several processes come to what one process would have counted."""

from __future__ import annotations

from hypothesis import given, strategies as st

from k8sdns.metrics import CACHE_ENTRIES, STORE_OBJECTS, Metric, Metrics
from k8sdns.workers import control
from k8sdns.workers.tallies import Gathered, Tally

COUNTER = Metric("some_total", "counter", "Somebody else's.", ("what",))
TIMES = Metric("some_seconds", "histogram", "Times.", ("what",), (1.0, 2.0))

DONE = st.tuples(
    st.integers(0, 2),
    st.sampled_from(["count", "observe", "tell"]),
    st.sampled_from("ab"),
    st.integers(0, 3),
)


def sent(counted):
    """Return a report as it arrives."""
    return control.decode_report(control.encode(counted))


@given(st.lists(DONE, max_size=60))
def test_counters_and_histograms_add_up(steps):
    workers = [Metrics() for _ in range(3)]
    tallies = [Tally(each) for each in workers]
    alone, page = Metrics(), Metrics()
    gathered = Gathered(page)
    for number, step, label, value in steps:
        if step == "tell":
            gathered.add(number, sent(tallies[number].counted()))
            continue
        for metrics in (workers[number], alone):
            if step == "count":
                metrics.counter(COUNTER).add(label, by=value)
            else:
                metrics.histogram(TIMES).observe(value, label)
    for number, tally in enumerate(tallies):
        gathered.add(number, sent(tally.counted()))
        assert sent(tally.counted()).counters == ()
    assert page.counts.get(COUNTER, {}) == alone.counts.get(COUNTER, {})
    if TIMES in alone.histograms:
        assert page.histogram(TIMES).counts == alone.histogram(TIMES).counts
        assert page.histogram(TIMES).sums == alone.histogram(TIMES).sums


def test_parts_of_a_whole_add_up_and_the_same_thing_is_shown_once():
    page = Metrics()
    gathered = Gathered(page)
    labels = ("s", "success", "z", "")
    for number, entries in enumerate([3, 4]):
        metrics = Metrics()
        metrics.gauge(CACHE_ENTRIES)[labels] = entries
        metrics.gauge(STORE_OBJECTS)["services",] = 9
        gathered.add(number, sent(Tally(metrics).counted()))
    page.refresh()
    assert page.gauge(CACHE_ENTRIES) == {labels: 7}
    assert page.gauge(STORE_OBJECTS) == {("services",): 9}
    gathered.forget(0)
    page.refresh()
    assert page.gauge(CACHE_ENTRIES) == {labels: 4}
    gathered.forget(1)
    page.refresh()
    assert page.gauge(CACHE_ENTRIES) == {}


def test_what_a_dead_worker_counted_stays_counted():
    metrics, page = Metrics(), Metrics()
    gathered = Gathered(page)
    metrics.counter(COUNTER).add("a")
    gathered.add("worker", Tally(metrics).counted())
    gathered.forget("worker")
    again = Metrics()
    again.counter(COUNTER).add("a", by=2)
    gathered.add("worker", Tally(again).counted())
    assert page.counter(COUNTER) == {("a",): 3}


def test_a_counter_that_stands_at_nothing_is_shown():
    metrics, page = Metrics(), Metrics()
    metrics.begin()
    Gathered(page).add("worker", sent(Tally(metrics).counted()))
    assert {m.name: page.counts[m] for m in page.counts}["coredns_panics_total"] == {(): 0}
