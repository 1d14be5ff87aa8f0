"""NodeLocal DNSCache's own Corefile, on a node's addresses, with Unbound behind it."""

from __future__ import annotations

import signal
import time

import pytest

NODE, KUBE_DNS = "169.254.20.10", "10.96.0.10"
CLUSTER_TIER, OUTSIDE = "10.96.0.11", "192.0.2.53"

# The ConfigMap node-local-dns of kubernetes/kubernetes cluster/addons/dns/nodelocaldns.
TEMPLATE = """\
__PILLAR__DNS__DOMAIN__:53 {
    errors
    cache {
            success 9984 30
            denial 9984 5
    }
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    health __PILLAR__LOCAL__DNS__:8080
    }
in-addr.arpa:53 {
    errors
    cache 30
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    }
ip6.arpa:53 {
    errors
    cache 30
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind __PILLAR__LOCAL__DNS__ __PILLAR__DNS__SERVER__
    forward . __PILLAR__UPSTREAM__SERVERS__
    prometheus :9253
    }
"""
PILLARS = {
    "__PILLAR__DNS__DOMAIN__": "cluster.local",
    "__PILLAR__LOCAL__DNS__": NODE,
    "__PILLAR__DNS__SERVER__": KUBE_DNS,
    "__PILLAR__CLUSTER__DNS__": CLUSTER_TIER,
    "__PILLAR__UPSTREAM__SERVERS__": "/etc/resolv.conf",
}
ZONES = {
    CLUSTER_TIER: "local-zone: cluster.local. static\n"
    "  local-data: 'web.shop.svc.cluster.local. 30 IN A 10.96.1.1'\n"
    "  local-zone: 96.10.in-addr.arpa. static\n"
    "  local-data: '1.1.96.10.in-addr.arpa. 30 IN PTR web.shop.svc.cluster.local.'\n",
    OUTSIDE: "local-zone: example.com. static\n"
    "  local-data: 'www.example.com. 300 IN A 192.0.2.80'\n",
}


@pytest.fixture
def node(host):
    host.begin([NODE, KUBE_DNS, CLUSTER_TIER, OUTSIDE], f"nameserver {OUTSIDE}\n")
    return host


def cluster_tier(node):
    """Start the cluster's own servers: over TCP alone."""
    return node.unbound(CLUSTER_TIER, ZONES[CLUSTER_TIER], "do-udp: no")


def served(node):
    text = TEMPLATE
    for pillar, value in PILLARS.items():
        text = text.replace(pillar, value)
    assert "__PILLAR__" not in text
    server = node.serve(text)
    server.wait_until(lambda: f"cluster.local.:53 on {NODE}" in server.output)
    return server


def test_its_corefile_runs_as_it_stands(node):
    tier = cluster_tier(node)
    node.unbound(OUTSIDE, ZONES[OUTSIDE])
    server = served(node)
    for address in (NODE, KUBE_DNS):
        for more in ((), ("+tcp",)):
            at = (f"@{address}", "+short", *more)
            assert node.dig(*at, "web.shop.svc.cluster.local") == "10.96.1.1"
            assert node.dig(*at, "-x", "10.96.1.1") == "web.shop.svc.cluster.local."
            assert node.dig(*at, "www.example.com") == "192.0.2.80"
            assert "status: NXDOMAIN" in node.dig(
                f"@{address}", *more, "gone.shop.svc.cluster.local"
            )
    assert node.get(f"http://{NODE}:8080/health") == "OK"

    # The cluster tier goes away: what is cached is answered, the rest fails, and it comes back.
    tier.end()
    assert node.dig(f"@{NODE}", "+short", "web.shop.svc.cluster.local") == "10.96.1.1"
    assert "status: SERVFAIL" in node.dig(f"@{NODE}", "new.shop.svc.cluster.local")
    assert node.dig(f"@{NODE}", "+short", "www.example.com") == "192.0.2.80"
    cluster_tier(node)
    until = time.monotonic() + 10
    while "status: NXDOMAIN" not in node.dig(f"@{NODE}", "new.shop.svc.cluster.local"):
        assert time.monotonic() < until, server.output

    metrics = node.get(f"http://{NODE}:9253/metrics")
    hits = 'coredns_cache_hits_total{server="dns://169.254.20.10:53",type="success"'
    assert hits in metrics
    assert f'to="{CLUSTER_TIER}:53"' in metrics
    assert "Traceback" not in server.output
    assert server.end() == -signal.SIGTERM, "twistd ends by the signal that it was sent"


def test_a_resolv_conf_that_names_the_node_s_own_cache_ends_it(node, tmp_path):
    cluster_tier(node)
    (tmp_path / "resolv.conf").write_text(f"nameserver {NODE}\n")
    assert node.get("file:///etc/resolv.conf") == f"nameserver {NODE}"
    server = served(node)
    assert server.wait() == 1
    assert 'detected for zone "."' in server.output
    assert f"Upstream {NODE}:53 sends our questions back to us" in server.output
