"""The controllers' part: workloads become Pods, Pods become endpoints, live."""

from __future__ import annotations

import pytest

from k8sdns.testing.apiserver.controllers import DELAY, Controllers


@pytest.fixture
def controllers(server):
    controllers = Controllers(server)
    controllers.start()
    return controllers


@pytest.fixture
def settle(clock):
    return lambda: clock.advance(DELAY)


def deployment(replicas):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 8080}]}]},
            },
        },
    }


def addresses(server):
    slices = [
        one for one in server.objects("EndpointSlice") if one["metadata"]["namespace"] == "shop"
    ]
    return {ip for one in slices for entry in one["endpoints"] for ip in entry["addresses"]}


def pods(server):
    return {pod["status"]["podIP"] for pod in server.objects("Pod")}


def test_endpoints_follow_a_workload(server, controllers, settle, service, namespace):
    server.apply(namespace("shop"))
    server.apply(service("web", selector={"app": "web"}, ports=[{"port": 80, "targetPort": 8080}]))
    server.apply(deployment(2))
    settle()
    assert len(pods(server)) == 2
    assert addresses(server) == pods(server)
    server.apply(deployment(3))
    settle()
    assert len(addresses(server)) == 3
    server.delete("Service", "shop", "web")
    settle()
    assert addresses(server) == set()
    server.delete("Deployment", "shop", "web")
    settle()
    assert pods(server) == set()


def test_what_was_applied_wins(server, controllers, settle, service):
    mine = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "mine",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.7"]}],
        "ports": [],
    }
    server.apply(service("web", selector={"app": "web"}, ports=[{"port": 80}]))
    server.apply(deployment(1))
    server.apply(mine)
    settle()
    assert addresses(server) == {"192.0.2.7"}
    server.delete("EndpointSlice", "shop", "mine")
    settle()
    assert addresses(server) == pods(server)


def test_a_bare_pod_gets_an_address(server, controllers, settle):
    metadata = {"name": "lone", "namespace": "shop"}
    spec = {"containers": [{"name": "c"}]}
    server.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    settle()
    (pod,) = server.objects("Pod")
    assert (pod["status"]["phase"], pod["spec"]) == ("Running", spec)
    assert pod["status"]["podIP"]


def test_a_settled_cluster_is_left_alone(server, controllers, settle, service, clock):
    server.apply(service("web", selector={"app": "web"}, ports=[{"port": 80}]))
    server.apply(deployment(2))
    settle()
    settled = server.revision
    server.apply(deployment(2))
    settle()
    assert (server.revision, clock.getDelayedCalls()) == (settled, [])


def test_stopped_controllers_do_nothing(server, controllers, clock):
    server.apply(deployment(2))
    controllers.stop()
    clock.advance(1)
    assert server.objects("Pod") == []
    assert clock.getDelayedCalls() == []
