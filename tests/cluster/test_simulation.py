"""What a cluster makes of plain manifests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from k8sdns.cluster.addresses import POD_CIDRS, SERVICE_CIDRS, BadRange, Ranges
from k8sdns.cluster.declared import Declared, declare
from k8sdns.cluster.documents import ManifestError, pieces_of, read
from k8sdns.cluster.model import EndpointSlice, Namespace, Pod, Port, Service
from k8sdns.cluster.simulation import Cluster


class View:
    """The result of a simulation, by kind and name."""

    def __init__(
        self,
        text: str,
        *,
        is_simulated: bool = True,
        services: Sequence[str] = (),
        pods: Sequence[str] = (),
        shuffle: int | None = None,
    ) -> None:
        declared = declared_in(text)
        if shuffle is not None:
            Random(shuffle).shuffle(declared)
        self.cluster = Cluster(
            declared,
            Ranges(services, SERVICE_CIDRS),
            Ranges(pods, POD_CIDRS),
            is_simulated=is_simulated,
        )
        self.found = [found for found in self.cluster.objects() if found is not None]

    def all(self, kind: type) -> list[Any]:
        return [thing for thing, _ in self.found if isinstance(thing, kind)]

    def namespaces(self) -> set[str]:
        return {thing.name for thing in self.all(Namespace)}

    def service(self, name: str) -> Service:
        (found,) = [thing for thing in self.all(Service) if thing.name == name]
        return found

    def slices(self, service: str) -> list[EndpointSlice]:
        return [thing for thing in self.all(EndpointSlice) if thing.service == service]

    def endpoints(self, service: str) -> list[Any]:
        return [endpoint for piece in self.slices(service) for endpoint in piece.endpoints]

    def pods(self) -> list[Pod]:
        return self.all(Pod)


def declared_in(text: str) -> list[Declared]:
    return [
        declare(raw, "f", piece.line)
        for piece in pieces_of(textwrap.dedent(text), "f")
        for raw in read(piece, "f")
    ]


def service(name: str = "web", spec: str = "", selector: str = "{app: web}") -> str:
    return (
        f"kind: Service\nmetadata: {{name: {name}, labels: {{tier: x}}}}\n"
        f"spec: {{selector: {selector}{spec},\n"
        "  ports: [{name: http, port: 80, targetPort: web}]}\n"
        "---\n"
    )


def workload(kind: str, spec: str = "", meta: str = "", pod: str = "") -> str:
    return (
        f"kind: {kind}\nmetadata: {{name: web{meta}}}\nspec:\n  template:\n"
        "    metadata: {labels: {app: web}}\n"
        "    spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]"
        f"{pod}}}\n{spec}---\n"
    )


DEPLOYMENT = workload("Deployment", "  replicas: 2\n")


def test_a_deployment_behind_a_service_is_a_service_with_endpoints() -> None:
    view = View(service() + DEPLOYMENT)
    assert view.service("web").cluster_ips[0].startswith("10.")
    assert view.service("web").ports == (Port("http", 80, "TCP"),)
    (piece,) = view.slices("web")
    assert piece.ports == (Port("http", 8080, "TCP"),)
    assert sorted(e.address for e in piece.endpoints) == sorted(p.ip for p in view.pods())
    assert {e.target for e in piece.endpoints} == {p.name for p in view.pods()}
    assert len(view.pods()) == 2


def test_the_same_manifests_are_the_same_cluster_in_any_order() -> None:
    text = service() + service("api", selector="{app: api}") + DEPLOYMENT + workload("StatefulSet")
    first = View(text).found
    assert all(View(text, shuffle=seed).found == first for seed in range(5))


def test_another_service_moves_no_address() -> None:
    alone = View(service()).service("web")
    assert View(service("a") + service() + service("z")).service("web") == alone


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ("", ["4"]),
        (", ipFamilies: [IPv6]", ["6"]),
        (", ipFamilyPolicy: PreferDualStack", ["4", "6"]),
        (", ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6]", ["6", "4"]),
        (", ipFamilyPolicy: SingleStack", ["4"]),
        (", clusterIP: 10.96.0.77, ipFamilyPolicy: RequireDualStack", ["4", "6"]),
        (", clusterIPs: [10.96.0.77], ipFamilyPolicy: PreferDualStack", ["4"]),
    ],
)
def test_a_service_has_the_families_it_asks_for(spec: str, families: list[str]) -> None:
    view = View(service(spec=spec) + DEPLOYMENT)
    addresses = view.service("web").cluster_ips
    assert ["6" if ":" in address else "4" for address in addresses] == families
    assert ("10.96.0.77" in addresses) == ("10.96.0.77" in spec)
    of_slices = ["6" if ":" in p.endpoints[0].address else "4" for p in view.slices("web")]
    assert of_slices == families


def test_the_first_range_is_the_family_of_the_cluster() -> None:
    view = View(service() + DEPLOYMENT, services=["fd01::/112"], pods=["fd02::/64", "10.9.0.0/16"])
    assert view.service("web").cluster_ips[0].startswith("fd01::")
    assert view.endpoints("web")[0].address.startswith("fd02:")
    assert view.service("kubernetes").cluster_ips == ("fd01::1",)


def test_a_stateful_set_has_stable_host_names_in_its_own_service_only() -> None:
    text = (
        service("db", ", clusterIP: None")
        + service("public")
        + workload("StatefulSet", "  replicas: 2\n  serviceName: db\n  ordinals: {start: 3}\n")
    )
    view = View(text)
    assert view.service("db").is_headless
    assert [e.hostname for e in view.endpoints("db")] == ["web-3", "web-4"]
    assert [e.target for e in view.endpoints("db")] == ["web-3", "web-4"]
    assert [e.hostname for e in view.endpoints("public")] == ["", ""]


def test_a_service_can_select_one_pod_of_a_stateful_set() -> None:
    selector = "{statefulset.kubernetes.io/pod-name: web-1}"
    view = View(service(selector=selector) + workload("StatefulSet", "  replicas: 3\n"))
    assert [e.target for e in view.endpoints("web")] == ["web-1"]


NODES = """\
kind: Node
metadata: {name: n1, labels: {disk: ssd, topology.kubernetes.io/zone: Zone-A}}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
kind: Node
metadata: {name: n2}
---
"""


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        (workload("DaemonSet"), {"node-1"}),
        (NODES + workload("DaemonSet"), {"n1", "n2"}),
        (NODES + workload("DaemonSet", pod=", nodeSelector: {disk: ssd}"), {"n1"}),
    ],
)
def test_a_daemon_set_has_a_pod_a_node(text: str, nodes: set[str]) -> None:
    assert {e.node for e in View(service() + text).endpoints("web")} == nodes


def test_endpoints_know_their_zone_and_host_network_pods_their_nodes_address() -> None:
    selector = ", hostNetwork: true, nodeSelector: {disk: ssd}"
    (endpoint,) = View(service() + NODES + workload("DaemonSet", pod=selector)).endpoints("web")
    assert (endpoint.zone, endpoint.address) == ("zone-a", "192.0.2.1")


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ("", 1),
        ("  parallelism: 3\n", 3),
        ("  parallelism: 3\n  completions: 2\n", 2),
        ("  suspend: true\n", 0),
        ("status: {conditions: [{type: Complete, status: 'True'}]}\n", 0),
    ],
)
def test_a_job_has_pods_while_it_runs(spec: str, count: int) -> None:
    assert len(View(workload("Job", spec)).pods()) == count


def test_pods_of_an_indexed_job_have_host_names() -> None:
    job = workload("Job", "  completionMode: Indexed\n", pod=", subdomain: db")
    view = View(service("db", ", clusterIP: None") + job)
    assert [e.hostname for e in view.endpoints("db")] == ["web-0"]


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController", "Deployment"])
def test_replicas_have_pods_with_names_that_are_labels(kind: str) -> None:
    long = workload(kind).replace("name: web}", f"name: {'w' * 80}}}", 1)
    (pod,) = View(long).pods()
    assert len(pod.name) <= 63


def test_a_bare_pod_without_a_status_runs() -> None:
    pod = (
        "kind: Pod\nmetadata: {name: p, labels: {app: web}}\nspec: {hostname: h, subdomain: web}\n"
    )
    view = View(service(spec=", clusterIP: None") + pod)
    (endpoint,) = view.endpoints("web")
    assert (endpoint.hostname, endpoint.address) == ("h", view.pods()[0].ip)


RUNNING = """\
kind: Pod
metadata: {name: p, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: web, containerPort: 9}]}]}
status:
  phase: Running
  podIP: 10.244.9.9
  conditions: [{type: Ready, status: "%s"}]
---
"""


def test_a_status_is_believed_and_ends_the_play_of_its_workload() -> None:
    view = View(service() + DEPLOYMENT + RUNNING % "True")
    assert [pod.ip for pod in view.pods()] == ["10.244.9.9"]
    assert [e.address for e in view.endpoints("web")] == ["10.244.9.9"]


@pytest.mark.parametrize(("publish", "count"), [("false", 0), ("true", 1)])
def test_unready_pods_are_endpoints_only_where_they_are_published(publish: str, count: int) -> None:
    text = service(spec=f", publishNotReadyAddresses: {publish}") + RUNNING % "False"
    assert len(View(text).endpoints("web")) == count


@pytest.mark.parametrize(
    "change",
    [
        ("phase: Running", "phase: Succeeded"),
        ("name: p,", "name: p, deletionTimestamp: 2026-01-01T00:00:00Z,"),
    ],
)
def test_a_pod_that_is_over_is_no_endpoint(change: tuple[str, str]) -> None:
    view = View(service() + (RUNNING % "True").replace(*change))
    assert view.endpoints("web") == []
    assert view.pods() == []


def test_a_replica_set_of_a_declared_deployment_is_not_played_twice() -> None:
    owned = workload("ReplicaSet", meta="-1, ownerReferences: [{kind: Deployment, name: web}]")
    assert len(View(DEPLOYMENT + owned).pods()) == 2


def test_a_declared_slice_wins() -> None:
    piece = (
        "kind: EndpointSlice\nmetadata: {name: s, labels: {kubernetes.io/service-name: web}}\n"
        "endpoints: [{addresses: [192.0.2.5]}]\n---\n"
    )
    view = View(service() + DEPLOYMENT + piece)
    assert [e.address for e in view.endpoints("web")] == ["192.0.2.5"]


ENDPOINTS = """\
kind: Endpoints
metadata: {name: web%s}
subsets:
- addresses: [{ip: 192.0.2.6, hostname: h}, {ip: "2001:db8::6"}]
  notReadyAddresses: [{ip: 192.0.2.7}]
  ports: [{name: http, port: 81}]
"""


def test_declared_endpoints_are_mirrored_into_slices() -> None:
    view = View(service(selector="null") + ENDPOINTS % "")
    assert [(e.address, e.hostname) for e in view.endpoints("web")] == [
        ("192.0.2.6", "h"),
        ("2001:db8::6", ""),
    ]


def test_endpoints_that_ask_not_to_be_mirrored_are_not() -> None:
    skip = ", labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}"
    assert View(service() + ENDPOINTS % skip).slices("web") == []


@pytest.mark.parametrize(
    "text",
    [
        service(selector="null") + DEPLOYMENT,
        service(spec=", type: ExternalName, externalName: a.b") + DEPLOYMENT,
    ],
)
def test_services_without_a_selector_or_address_get_no_slices(text: str) -> None:
    assert View(text).slices("web") == []


def test_a_target_port_that_no_container_has_is_left_out() -> None:
    text = service().replace("targetPort: web", "targetPort: nope") + DEPLOYMENT
    assert {piece.ports for piece in View(text).slices("web")} == {(Port("", -1, ""),)}


def test_pods_that_listen_elsewhere_have_a_slice_of_their_own() -> None:
    other = workload("StatefulSet").replace("8080", "9090")
    pieces = View(service() + DEPLOYMENT + other).slices("web")
    assert sorted(piece.ports[0].port for piece in pieces) == [8080, 9090]


def test_namespaces_that_objects_name_exist() -> None:
    text = "kind: ServiceAccount\nmetadata: {name: a, namespace: shop}\n---\n" + service()
    assert View(text).namespaces() == {
        "shop",
        "default",
        "kube-system",
        "kube-public",
        "kube-node-lease",
    }


def test_plain_manifests_have_an_api_server() -> None:
    view = View("")
    assert view.service("kubernetes").cluster_ips == ("10.96.0.1",)
    assert len(view.endpoints("kubernetes")) == 1


def test_nothing_is_added_to_the_dump_of_a_cluster() -> None:
    view = View("kind: Namespace\nmetadata: {name: default}\n---\n")
    assert view.namespaces() == {"default"}
    assert view.all(Service) == []


def test_with_the_play_off_only_what_is_declared_is_there() -> None:
    view = View(
        service()
        + DEPLOYMENT
        + RUNNING % "True"
        + ENDPOINTS % ""
        + "---\nkind: Namespace\nmetadata: {name: a}\n",
        is_simulated=False,
    )
    assert view.service("web").cluster_ips == ()
    assert view.all(EndpointSlice) == []
    assert [pod.name for pod in view.pods()] == ["p"]
    assert view.namespaces() == {"a"}


def test_slices_carry_the_labels_of_their_service() -> None:
    labels = [
        dict(labels)
        for thing, labels in View(service() + DEPLOYMENT).found
        if isinstance(thing, EndpointSlice) and thing.service == "web"
    ]
    assert labels == [{"tier": "x", "kubernetes.io/service-name": "web"}]


def test_a_full_range_is_said_and_nobody_shares_an_address() -> None:
    text = "".join(service(f"s{number}") for number in range(9))
    view = View(text, services=["10.0.0.0/29"])
    given = [ip for thing in view.all(Service) for ip in thing.cluster_ips]
    assert len(given) == len(set(given)) == 6
    assert len(view.cluster.problems) == 4
    assert "10.0.0.0/29 is full" in view.cluster.problems[0]


@pytest.mark.parametrize(
    "cidrs", [["10.0.0.0/33"], ["10.0.0.1/24"], ["10.0.0.0/31"], ["10.0.0.0/8", "10.0.0.0/9"]]
)
def test_a_bad_range_is_refused(cidrs: list[str]) -> None:
    with pytest.raises(BadRange):
        Ranges(cidrs, SERVICE_CIDRS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Service\n", "needs kind and metadata"),
        ("metadata: {name: a}\n", "needs kind and metadata"),
        ("kind: Service\nmetadata: {}\n", "no metadata.name"),
        ("kind: Service\nmetadata: {name: a}\nspec: {ports: [{port: x}]}\n", "spec.ports"),
        ("kind: Service\nmetadata: {name: a, labels: {v: 1}}\n", "Service a"),
    ],
)
def test_an_object_that_an_api_server_would_refuse_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        declared_in(text)
