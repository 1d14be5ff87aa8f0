"""NodeLocal DNSCache's own Corefile, on a node's addresses, with Unbound behind it.

The addresses are a network namespace's: nothing of the host is touched. That takes root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
# As node-cache makes it; a kernel without dummy interfaces has the addresses on its loopback.
INTERFACE = f"""
ip link set lo up
ip link add nodelocaldns type dummy 2>/dev/null && device=nodelocaldns || device=lo
ip link set $device up
ip addr add {NODE}/32 dev $device
ip addr add {KUBE_DNS}/32 dev $device
ip addr add {CLUSTER_TIER}/32 dev lo
ip addr add {OUTSIDE}/32 dev lo
mount --bind resolv.conf /etc/resolv.conf
echo ready
exec sleep 600
"""
UNBOUND = """server:
  interface: {address}
  {more}
  do-daemonize: no
  username: ''
  chroot: ''
  pidfile: ''
  use-syslog: no
  module-config: iterator
  access-control: 0.0.0.0/0 allow
  {zones}
remote-control:
  control-enable: no
"""
ZONES = {
    CLUSTER_TIER: "local-zone: cluster.local. static\n"
    "  local-data: 'web.shop.svc.cluster.local. 30 IN A 10.96.1.1'\n"
    "  local-zone: 96.10.in-addr.arpa. static\n"
    "  local-data: '1.1.96.10.in-addr.arpa. 30 IN PTR web.shop.svc.cluster.local.'\n",
    OUTSIDE: "local-zone: example.com. static\n"
    "  local-data: 'www.example.com. 300 IN A 192.0.2.80'\n",
}


class Node:
    """A network namespace with the addresses of a node, and programs inside it."""

    def __init__(self, start, needs, tmp_path):
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        self._start, self._nsenter, self._dig = start, needs("nsenter"), needs("dig")
        needs("ip")
        (tmp_path / "resolv.conf").write_text(f"nameserver {OUTSIDE}\n")
        self._holder = start([needs("unshare"), "-n", "-m", "sh", "-ec", INTERFACE])
        try:
            self._holder.wait_until(lambda: "ready" in self._holder.output)
        except AssertionError as error:
            pytest.skip(f"no network namespace with a node's addresses here: {error}")

    def _inside(self, command):
        return [self._nsenter, "-t", str(self._holder.process.pid), "-n", "-m", *command]

    def start(self, command):
        return self._start(self._inside(command))

    def dig(self, *words):
        """Return what dig prints, asked from the node."""
        command = self._inside([self._dig, "+tries=1", "+time=5", *words])
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()

    def get(self, url):
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
        command = self._inside([sys.executable, "-c", code, url])
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()


@pytest.fixture
def node(start, needs, tmp_path):
    return Node(start, needs, tmp_path)


@pytest.fixture
def unbound(node, needs, tmp_path):
    """`unbound(address)` answers on an address: the cluster tier over TCP alone."""
    program = needs("unbound")

    def run(address):
        more = "do-udp: no" if address == CLUSTER_TIER else "do-tcp: yes"
        path = tmp_path / f"unbound-{address}.conf"
        path.write_text(UNBOUND.format(address=address, more=more, zones=ZONES[address]))
        server = node.start([program, "-d", "-c", str(path)])
        tcp = ["+tcp"] if address == CLUSTER_TIER else []
        server.wait_until(
            lambda: "status:" in node.dig(f"@{address}", *tcp, "id.server", "CH", "TXT")
        )
        return server

    return run


def served(node, tmp_path):
    text = TEMPLATE
    for pillar, value in PILLARS.items():
        text = text.replace(pillar, value)
    assert "__PILLAR__" not in text
    path = tmp_path / "Corefile"
    path.write_text(text)
    command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    server = node.start([*command, "-n", "--pidfile=", "k8sdns", f"--corefile={path}"])
    server.wait_until(lambda: f"cluster.local.:53 on {NODE}" in server.output)
    return server


def test_its_corefile_runs_as_it_stands(node, unbound, tmp_path):
    cluster_tier, _outside = unbound(CLUSTER_TIER), unbound(OUTSIDE)
    server = served(node, tmp_path)
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
    cluster_tier.end()
    assert node.dig(f"@{NODE}", "+short", "web.shop.svc.cluster.local") == "10.96.1.1"
    assert "status: SERVFAIL" in node.dig(f"@{NODE}", "new.shop.svc.cluster.local")
    assert node.dig(f"@{NODE}", "+short", "www.example.com") == "192.0.2.80"
    unbound(CLUSTER_TIER)
    until = time.monotonic() + 10
    while "status: NXDOMAIN" not in node.dig(f"@{NODE}", "new.shop.svc.cluster.local"):
        assert time.monotonic() < until, server.output

    metrics = node.get(f"http://{NODE}:9253/metrics")
    hits = 'coredns_cache_hits_total{server="dns://169.254.20.10:53",type="success"'
    assert hits in metrics
    assert f'to="{CLUSTER_TIER}:53"' in metrics
    assert "Traceback" not in server.output
    assert server.end() == -signal.SIGTERM, "twistd ends by the signal that it was sent"


def test_a_resolv_conf_that_names_the_node_s_own_cache_ends_it(node, unbound, tmp_path):
    unbound(CLUSTER_TIER)
    (tmp_path / "resolv.conf").write_text(f"nameserver {NODE}\n")
    path_is_bound = node.get("file:///etc/resolv.conf")
    assert path_is_bound == f"nameserver {NODE}"
    server = served(node, tmp_path)
    assert server.wait() == 1
    assert 'detected for zone "."' in server.output
    assert f"Upstream {NODE}:53 sends our questions back to us" in server.output
