"""The Corefiles that clusters come with, word for word, on their own ports.

An API server, a pod's service account and an Unbound that /etc/resolv.conf names are around them.
"""

from __future__ import annotations

import base64
import signal
import sys

import pytest
import yaml

RESOLVER, API_PORT = "192.0.2.53", "6443"

KUBEADM = """\
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""
COREDNS_1_2_5 = """\
.:53 {
    errors
    health
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      pods insecure
      upstream
      fallthrough in-addr.arpa ip6.arpa
    }
    prometheus :9153
    proxy . /etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}
"""
MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1], ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: shop}
spec: {type: ExternalName, externalName: www.example.com}
"""
OUTSIDE = """local-zone: example.com. static
  local-data: 'www.example.com. 300 IN A 192.0.2.80'
  local-zone: 51.198.in-addr.arpa. static
  local-data: '7.100.51.198.in-addr.arpa. 300 IN PTR printer.example.com.'
"""


@pytest.fixture
def pod(host, tmp_path):
    """A host that is a pod of a cluster: `pod.env` is its environment."""
    account = "/run/secrets/kubernetes.io/serviceaccount"
    mounts = f"mkdir -p {account}; mkdir -p account; mount --bind account {account}"
    host.begin([], f"nameserver {RESOLVER}\n", mounts)
    host.begin_neighbour(RESOLVER)
    (tmp_path / "manifests.yaml").write_text(MANIFESTS)
    command = [sys.executable, "-m", "k8sdns.testing.apiserver", "--tls", "--port", API_PORT]
    command += ["--kubeconfig", f"{tmp_path}/kubeconfig"]
    command += ["--manifests", f"{tmp_path}/manifests.yaml"]
    api = host.start(command)
    api.wait_until(lambda: "objects loaded" in api.output)
    (cluster,) = yaml.safe_load((tmp_path / "kubeconfig").read_text())["clusters"]
    ca = base64.b64decode(cluster["cluster"]["certificate-authority-data"])
    (tmp_path / "account" / "ca.crt").write_bytes(ca)
    (tmp_path / "account" / "token").write_text("of-no-consequence")
    host.unbound(RESOLVER, OUTSIDE)
    host.env = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": API_PORT}
    return host


@pytest.mark.parametrize("corefile", [KUBEADM, COREDNS_1_2_5], ids=["kubeadm", "1.2.5"])
def test_it_runs_as_it_stands(pod, corefile):
    server = pod.serve(corefile, pod.env)
    server.wait_until(lambda: ".:53\n" in server.output)
    for more in ((), ("+tcp",)):
        at = ("@127.0.0.1", "+short", *more)
        assert pod.dig(*at, "web.shop.svc.cluster.local") == "10.96.1.1"
        assert pod.dig(*at, "-x", "10.96.1.1") == "web.shop.svc.cluster.local."
        assert pod.dig(*at, "10-1-2-3.shop.pod.cluster.local") == "10.1.2.3"
        assert pod.dig(*at, "www.example.com") == "192.0.2.80"
        assert pod.dig(*at, "-x", "198.51.100.7") == "printer.example.com."
        chain = pod.dig(*at, "away.shop.svc.cluster.local").splitlines()
        assert chain == ["www.example.com.", "192.0.2.80"]
    assert "status: NXDOMAIN" in pod.dig("@127.0.0.1", "gone.shop.svc.cluster.local")
    assert pod.get("http://127.0.0.1:8080/health") == "OK"
    if "ready" in corefile:
        assert pod.get("http://127.0.0.1:8181/ready") == "OK"
    metrics = pod.get("http://127.0.0.1:9153/metrics")
    word = "proxy" if "proxy" in corefile else "forward"
    assert f'coredns_proxy_request_duration_seconds_count{{proxy_name="{word}"' in metrics
    assert "Traceback" not in server.output
    assert server.end() == -signal.SIGTERM, "twistd ends by the signal that it was sent"
