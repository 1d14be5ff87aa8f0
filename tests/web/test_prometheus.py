"""A running server as Prometheus sees it, and the dashboards and alerts that people have."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from k8sdns.metrics import table
from k8sdns.testing.apiserver.tls import Authority

ROOT = Path(__file__).parents[2]
COREFILE = f"""
.:@PORT@ {{
    bind 127.0.0.1
    errors
    health 127.0.0.1:@HEALTH@
    kubernetes cluster.local {{
        manifests {ROOT}/examples/cluster
    }}
    prometheus 127.0.0.1:@METRICS@
    forward . 127.0.0.1:@UPSTREAM@
    cache 30
}}
.:@UPSTREAM@ {{
    bind 127.0.0.1
    whoami
}}
"""

# What the CoreDNS dashboards of kube-prometheus-stack (k8s-coredns) and dotdc, coredns-mixin's
# dashboard and alerts, and OpenShift's alerts ask for, with the labels that they group by.
CORE = {
    "coredns_build_info": (),
    "coredns_panics_total": (),
    "coredns_plugin_enabled": ("name",),
    "coredns_dns_requests_total": ("server", "zone", "view", "proto", "family", "type"),
    "coredns_dns_do_requests_total": ("server", "zone", "view"),
    "coredns_dns_request_size_bytes": ("server", "zone", "proto"),
    "coredns_dns_response_size_bytes": ("server", "zone", "proto"),
    "coredns_dns_responses_total": ("server", "zone", "view", "rcode", "plugin"),
    "coredns_dns_request_duration_seconds": ("server", "zone"),
    "coredns_health_request_duration_seconds": (),
}
UPSTREAMS = {
    "coredns_proxy_request_duration_seconds": ("proxy_name", "rcode"),
    "coredns_forward_requests_total": ("to",),
    "coredns_forward_responses_total": ("to", "rcode"),
    "coredns_forward_request_duration_seconds": ("to",),
    "coredns_forward_healthcheck_failures_total": ("to",),
    "coredns_forward_healthcheck_broken_total": (),
}
CACHE = {
    "coredns_cache_entries": ("type",),
    "coredns_cache_hits_total": ("type",),
    "coredns_cache_misses_total": (),
}
CLUSTER = {"coredns_kubernetes_dns_programming_duration_seconds": ("service_kind",)}
PROCESS = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
)
ASKED_FOR = {**CORE, **UPSTREAMS, **CACHE, **CLUSTER}

# Only failures move these; a series with labels appears with the first of them.
MOVED_BY_FAILURE = {"coredns_forward_healthcheck_failures_total"}
# These begin at 0 and are moved by failures alone.
ZERO = {"coredns_panics_total", "coredns_forward_healthcheck_broken_total"}

RESPONSES = "sum without (instance, server, zone, view, rcode, plugin) (coredns_dns_responses_total"
EXPRESSIONS = (
    'up{job="kube-dns"} == 1',
    "sum(coredns_dns_requests_total) by (proto)",
    "sum(coredns_dns_requests_total) by (type)",
    "sum(coredns_dns_requests_total) by (zone)",
    "sum(coredns_dns_do_requests_total)",
    "histogram_quantile(0.99, sum(coredns_dns_request_size_bytes_bucket) by (le, proto))",
    "histogram_quantile(0.99, sum(coredns_dns_response_size_bytes_bucket) by (le, proto))",
    "sum(coredns_dns_responses_total) by (rcode)",
    "histogram_quantile(0.5, sum(coredns_dns_request_duration_seconds_bucket) by (zone, le))",
    "sum(coredns_cache_entries) by (type)",
    "sum(coredns_cache_hits_total) by (type)",
    "sum(coredns_cache_misses_total)",
    'sum(coredns_proxy_request_duration_seconds_count{proxy_name="forward"})',
    "histogram_quantile(0.99, sum(coredns_forward_request_duration_seconds_bucket) by (to, le))",
    f'{RESPONSES}{{rcode="NXDOMAIN"}}) / {RESPONSES}) < 1',
    "histogram_quantile(0.95, sum(coredns_health_request_duration_seconds_bucket) by (le))",
    "increase(coredns_panics_total[10m]) >= 0",
    "count(coredns_plugin_enabled) by (name)",
    "process_resident_memory_bytes",
)


def test_everything_that_is_asked_for_is_in_the_table():
    known = {metric.name: metric.labels for metric in table()}
    for name, labels in ASKED_FOR.items():
        assert name in known
        assert set(labels) <= set(known[name]), name


@pytest.fixture
def served(twistd, free_port):
    """A server that was asked something of everything; the port of its metrics."""
    ports = {name: free_port() for name in ("HEALTH", "METRICS", "UPSTREAM")}
    text = COREFILE
    for name, port in ports.items():
        text = text.replace(f"@{name}@", str(port))
    server = twistd(text)
    for tcp in (False, True):
        server.ask("shop.bakery.svc.cluster.local", tcp=tcp)
        server.ask("nothing.bakery.svc.cluster.local", "AAAA", tcp=tcp)
    for _ in range(2):
        server.ask("www.example.org")
    ask_with_do(server)
    server.wait_until(
        lambda: value(scrape(ports["METRICS"]), "coredns_health_request_duration_seconds_count"),
        "the server's first request to itself",
    )
    return ports["METRICS"]


def ask_with_do(server):
    import dns.message
    import dns.query

    query = dns.message.make_query("shop.bakery.svc.cluster.local", "A", want_dnssec=True)
    dns.query.udp(query, "127.0.0.1", port=server.port, timeout=5)


def scrape(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return reply.read().decode()


def value(text, sample_name, /, **labels):
    """Return the sum of the samples of this name and these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    )


def test_what_dashboards_ask_for_exists_and_moves(served):
    text = scrape(served)
    found = {family.name: family for family in text_string_to_metric_families(text)}
    for name, labels in {**CORE, **UPSTREAMS, **CACHE}.items():
        if name in MOVED_BY_FAILURE:
            continue
        samples = found[name.removesuffix("_total")].samples
        assert samples, name
        for sample in samples:
            assert set(labels) <= set(sample.labels), name
        if name not in ZERO:
            assert sum(sample.value for sample in samples) > 0, name
    for name in PROCESS:
        assert value(text, name) > 0


def test_the_labels_say_what_happened(served):
    text = scrape(served)
    before = value(text, "coredns_dns_requests_total", type="A", proto="udp", family="1", zone=".")
    assert before >= 4  # the fixture's, and those that waited for the server
    assert value(text, "coredns_dns_requests_total", type="AAAA", proto="tcp") == 1
    responses = "coredns_dns_responses_total"
    assert value(text, responses, rcode="NOERROR", plugin="kubernetes") == 3
    assert value(text, responses, rcode="NXDOMAIN", plugin="kubernetes") == 2
    assert value(text, "coredns_dns_do_requests_total") == 1
    names = [s.labels["name"] for f in text_string_to_metric_families(text)
             for s in f.samples if s.name == "coredns_plugin_enabled"]  # fmt: skip
    assert sorted(names) == ["cache", "errors", "forward", "kubernetes", "prometheus"]


def test_promtool_finds_nothing_wrong(served, needs):
    command = [needs("promtool"), "check", "metrics"]
    checked = subprocess.run(
        command, input=scrape(served), capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_scrapes_it_and_evaluates_what_people_ask(
    served, needs, start, tmp_path, free_port
):
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
        "scrape_configs:\n"
        "  - job_name: kube-dns\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{served}']}}]\n"
    )
    prometheus = start(
        [
            needs("prometheus"),
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    )
    # Two scrapes: what grows is only known then.
    prometheus.wait_until(
        lambda: query(port, 'count_over_time(up{job="kube-dns"}[1m]) >= 3'), "three scrapes"
    )
    assert query(port, 'up{job="kube-dns"} == 1')
    for expression in EXPRESSIONS:
        assert query(port, expression), expression


def query(port, expression):
    """Return what Prometheus finds for an expression; [] while it is not up."""
    asked = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/api/v1/query?{asked}", timeout=10
        ) as reply:
            return json.load(reply)["data"]["result"]
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return []
        raise AssertionError(f"{expression}: {error.read().decode()}") from None
    except OSError:
        return []


def test_a_block_without_prometheus_is_not_counted(twistd, free_port):
    port = free_port()
    server = twistd(
        f"""
        counted.example:@PORT@ {{
            bind 127.0.0.1
            prometheus 127.0.0.1:{port}
            whoami
        }}
        other.example:@PORT@ {{
            bind 127.0.0.1
            whoami
        }}
        """
    )
    server.ask("a.counted.example")
    server.ask("a.other.example")
    server.ask("elsewhere.example")
    text = scrape(port)
    requests = "coredns_dns_requests_total"
    assert value(text, requests, zone="counted.example.") == 1
    assert value(text, requests, zone="other.example.") == 0
    assert value(text, requests, zone="dropped") >= 1


def test_metrics_stay_up_and_go_on_over_a_reload(twistd, free_port, tmp_path):
    port = free_port()
    text = f".:@PORT@ {{\n bind 127.0.0.1\n prometheus 127.0.0.1:{port}\n whoami\n}}\n"
    server = twistd(text)
    server.ask("a.example")
    before = value(scrape(port), "coredns_dns_requests_total", zone=".")
    path = tmp_path / "Corefile"
    path.write_text(path.read_text().replace(" whoami", " whoami\n errors"))
    server.process.send_signal(10)  # SIGUSR1

    def is_enabled():
        return value(scrape(port), "coredns_plugin_enabled", name="errors")

    server.wait_until(is_enabled, "the new generation")
    server.ask("a.example")
    assert value(scrape(port), "coredns_dns_requests_total", zone=".") == before + 1


@pytest.fixture
def web_config(tmp_path):
    """A web configuration file, and the authority that signed its certificate."""
    authority = Authority()
    certificate, key = authority.issue("metrics", ["127.0.0.1"])
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n")
    return path, authority.ca_pem.decode()


def test_metrics_speak_tls_where_they_are_told_to(twistd, free_port, web_config):
    import ssl

    port = free_port()
    path, authority = web_config
    server = twistd(
        f"""
        .:@PORT@ {{
            bind 127.0.0.1
            prometheus 127.0.0.1:{port} {{
                tls {path}
            }}
            whoami
        }}
        """
    )
    server.ask("a.example")
    trust = ssl.create_default_context(cadata=authority)
    trust.set_alpn_protocols(["h2", "http/1.1"])  # as Prometheus and curl offer
    url = f"https://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(url, timeout=10, context=trust) as reply:
        assert value(reply.read().decode(), "coredns_dns_requests_total", zone=".") >= 1
    with pytest.raises(OSError):
        scrape(port)
