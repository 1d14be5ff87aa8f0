"""The page of metrics: its formats, its slices, and what is on it."""

from __future__ import annotations

import gzip

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from twisted.internet.task import Clock

from k8sdns.metrics import Metric, Metrics
from k8sdns.web import metrics as page
from k8sdns.web.metrics import Enabled, EnabledWhileRunning, MetricsPage, exposition, families
from k8sdns.web.queries import QueryTable

REQUESTS = Metric("test_requests_total", "counter", "Requests, a\\b.", ("zone", "type"))
ENTRIES = Metric("test_entries", "gauge", "Entries.")
DURATION = Metric("test_duration_seconds", "histogram", "Time.", ("zone",), (0.1, 1.0))
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@pytest.fixture
def counted():
    metrics = Metrics()
    for number in range(page.CHUNK * 2 + 50):
        metrics.counter(REQUESTS).add('a"b\n.', str(number), by=number)
    metrics.gauge(ENTRIES)[()] = 2.5
    for value in (0.05, 0.1, 0.5, 5.0):
        metrics.histogram(DURATION).observe(value, "cluster.local.")
    return metrics


def rendered(metrics, accept=""):
    encode, _content_type = choose_encoder(accept)
    return b"".join(exposition(families(metrics), encode)).decode()


def samples(found):
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in found for s in f.samples}


@pytest.mark.parametrize("accept, parse", [("", plain), (OPENMETRICS, openmetrics)])
def test_every_sample_arrives_in_either_format(counted, accept, parse):
    text = rendered(counted, accept)
    found = samples(parse(text))
    for number in range(page.CHUNK * 2 + 50):
        labels = (("type", str(number)), ("zone", 'a"b\n.'))
        assert found[("test_requests_total", labels)] == number
    assert found[("test_entries", ())] == 2.5
    zone = ("zone", "cluster.local.")
    assert [found[("test_duration_seconds_bucket", (("le", le), zone))] for le in
            ("0.1", "1.0", "+Inf")] == [2, 3, 4]  # fmt: skip
    assert found[("test_duration_seconds_count", (zone,))] == 4
    assert found[("test_duration_seconds_sum", (zone,))] == pytest.approx(5.65)


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_family_in_several_slices_has_one_heading(counted, accept):
    text = rendered(counted, accept)
    for family in ("test_requests", "test_entries", "test_duration_seconds"):
        assert text.count(f"# TYPE {family}") == 1
    assert text.count("# EOF") == (1 if accept else 0)
    assert accept == "" or text.endswith("# EOF\n")


def test_slices_are_small(counted):
    encode, _content_type = choose_encoder("")
    for piece in exposition(families(counted), encode):
        assert piece.count(b"\n") <= page.CHUNK + 2


def get(ask, metrics, *headers, **options):
    clock = Clock()
    shown = MetricsPage(metrics, QueryTable(metrics), clock, **options)
    return ask(shown, "/metrics", *headers, reactor=clock)


def test_the_page_is_what_the_scraper_accepts(ask, counted):
    reply = get(ask, counted)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "content-encoding" not in reply.headers
    assert "test_entries 2.5" in reply.body.decode()
    reply = get(ask, counted, f"Accept: {OPENMETRICS}")
    assert reply.headers["content-type"].startswith(OPENMETRICS.replace(";", "; "))
    assert reply.body.endswith(b"# EOF\n")


def test_the_page_is_packed_for_those_who_unpack(ask, counted):
    reply = get(ask, counted, "Accept-Encoding: gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert "test_entries 2.5" in gzip.decompress(reply.body).decode()


def test_the_page_has_the_process_and_on_demand_the_runtime(ask, counted):
    body = get(ask, counted).body.decode()
    for name in (
        "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
        "process_start_time_seconds",
    ):  # fmt: skip
        assert f"\n{name} " in body
    assert "python_gc" not in body
    body = get(ask, counted, with_runtime=True).body.decode()
    assert "python_gc_collections_total" in body
    assert "python_info" in body


def test_gauges_are_brought_up_to_date_first(ask, counted):
    counted.before_scrape(lambda: counted.gauge(ENTRIES).update({(): 7}))
    assert "test_entries 7.0" in get(ask, counted).body.decode()


def test_a_page_that_cannot_be_rendered_is_an_error_of_its_own(ask, counted):
    def fail():
        raise RuntimeError("a gauge that breaks")

    counted.before_scrape(fail)
    assert get(ask, counted).status == 500


def test_a_scraper_that_goes_away_ends_the_rendering(counted, connect):
    clock = Clock()
    pages = page_site(counted, clock)
    client = connect(pages)
    client.get("/metrics")
    client.channel.connectionLost()
    clock.pump([0.001] * 2000)
    assert client.transport.value() == b""
    assert not [call for call in clock.getDelayedCalls() if call.getTime() < clock.seconds() + 0.1]


def page_site(metrics, clock):
    from k8sdns.web.sites import Pages, PageSite

    pages = Pages()
    pages.put(b"/metrics", MetricsPage(metrics, QueryTable(metrics), clock))
    return PageSite(pages, clock)


def test_what_two_generations_have_is_shown_until_both_end():
    metrics = Metrics()
    enabled = Enabled(metrics)
    shown = metrics.gauge(page.PLUGIN_ENABLED)
    old = EnabledWhileRunning(enabled, [("dns://:53", ".", "", "log"), ("dns://:53", ".", "", "a")])
    new = EnabledWhileRunning(enabled, [("dns://:53", ".", "", "log"), ("dns://:53", ".", "", "b")])
    old.startService()
    new.startService()
    old.stopService()
    assert {labels[-1] for labels in shown} == {"log", "b"}
    new.stopService()
    assert shown == {}
