"""API objects, from JSON and from parsed YAML, become the same DNS view."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from k8sdns.cluster.model import Endpoint, EndpointSlice, Kind, Namespace, Pod, Port, Service
from k8sdns.cluster.objects import OBJECT_TYPES, VIEWS, PortEntry, ports_of


def views(kind: Kind, thing: dict[str, Any]) -> Any:
    """Read `thing` both ways, insist that they agree, and return the view."""
    decoded = msgspec.json.decode(json.dumps(thing), type=OBJECT_TYPES[kind])
    converted = msgspec.convert(thing, OBJECT_TYPES[kind])
    view = VIEWS[kind](decoded)
    assert view == VIEWS[kind](converted)
    return view


def test_a_service_keeps_what_dns_needs() -> None:
    view = views(
        "services",
        {
            "kind": "Service",
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "resourceVersion": "7",
                "labels": {"a": "b"},
                "managedFields": [{}],
            },
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1", "fd00::1"],
                "externalIPs": ["198.51.100.1"],
                "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "x"}],
            },
            "status": {
                "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"hostname": "lb.example"}, {}]}
            },
        },
    )
    assert view == Service(
        "shop",
        "web",
        "7",
        "LoadBalancer",
        ("10.96.0.1", "fd00::1"),
        "",
        (Port("http", 80, "TCP"),),
        ("198.51.100.1", "203.0.113.1", "lb.example"),
    )


@pytest.mark.parametrize(
    ("spec", "cluster_ips", "headless"),
    [
        ({"clusterIP": "None"}, ("None",), True),
        ({"clusterIPs": ["None"]}, ("None",), True),
        ({"clusterIP": "10.0.0.1"}, ("10.0.0.1",), False),
        ({"clusterIP": ""}, (), False),
        ({"type": "ExternalName", "externalName": "example.org"}, (), False),
        (None, (), False),
    ],
)
def test_cluster_addresses_of_a_service(
    spec: Any, cluster_ips: tuple[str, ...], headless: bool
) -> None:
    view = views("services", {"metadata": {"name": "web"}, "spec": spec})
    assert (view.cluster_ips, view.is_headless) == (cluster_ips, headless)
    assert view.ports == (Port("", -1, ""),)


def test_a_slice_keeps_its_ready_endpoints() -> None:
    view = views(
        "endpointslices",
        {
            "metadata": {
                "name": "web-x",
                "namespace": "shop",
                "resourceVersion": "8",
                "labels": {"kubernetes.io/service-name": "web", "other": "label"},
                "annotations": {
                    "endpoints.kubernetes.io/last-change-trigger-time": "1970-01-01T00:01:00Z"
                },
            },
            "addressType": "IPv4",
            "ports": [{"name": None, "port": None, "protocol": None}],
            "endpoints": [
                {
                    "addresses": ["10.0.0.1"],
                    "conditions": {"ready": True},
                    "hostname": "one",
                    "nodeName": "node-1",
                    "zone": "Zone-A",
                    "targetRef": {"kind": "Pod", "name": "web-1"},
                },
                {"addresses": ["10.0.0.2"], "conditions": {"ready": False, "serving": True}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": None}},
                {"addresses": None, "conditions": None, "targetRef": {"name": "none"}},
                {"addresses": ["10.0.0.4", "fd00::4"], "targetRef": {"name": "x" * 64}},
            ],
        },
    )
    assert view == EndpointSlice(
        "shop",
        "web-x",
        "web",
        "8",
        (Port("", -1, ""),),
        (
            Endpoint("10.0.0.1", "one", "web-1", "node-1", "zone-a"),
            Endpoint("10.0.0.3", "", "", "", ""),
            Endpoint("10.0.0.4", "", "", "", ""),
            Endpoint("fd00::4", "", "", "", ""),
        ),
        60.0,
    )


@pytest.mark.parametrize("null", ["labels", "annotations"])
def test_nulls_of_go_are_read(null: str) -> None:
    meta = {"name": "web-x", "namespace": None, "resourceVersion": None, null: None}
    thing = {"metadata": meta, "ports": None, "endpoints": None, "addressType": None}
    view = views("endpointslices", thing)
    assert (view.service, view.ports, view.endpoints) == ("", (Port("", -1, ""),), ())


def test_host_names_are_no_endpoints() -> None:
    thing = {
        "metadata": {"name": "web-x"},
        "addressType": "FQDN",
        "endpoints": [{"addresses": ["example.org"]}],
    }
    assert views("endpointslices", thing).endpoints == ()


def test_a_timestamp_that_is_none_is_left_out() -> None:
    trigger = {"endpoints.kubernetes.io/last-change-trigger-time": "yesterday"}
    thing = {"metadata": {"name": "x", "annotations": trigger}}
    assert views("endpointslices", thing).triggered_at is None


@pytest.mark.parametrize(
    ("meta", "status", "ip"),
    [
        ({}, {"phase": "Running", "podIP": "10.0.0.1"}, "10.0.0.1"),
        ({}, {"phase": "Pending"}, ""),
        ({}, None, ""),
        ({}, {"phase": "Succeeded", "podIP": "10.0.0.1"}, None),
        ({}, {"phase": "Failed", "podIP": "10.0.0.1"}, None),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, {"podIP": "10.0.0.1"}, None),
    ],
)
def test_a_pod_is_served_until_it_leaves(meta: Any, status: Any, ip: str | None) -> None:
    view = views("pods", {"metadata": {"name": "p", "namespace": "n", **meta}, "status": status})
    assert view == (None if ip is None else Pod("n", "p", "", ip))


def test_a_namespace() -> None:
    thing = {"metadata": {"name": "shop", "resourceVersion": "3", "labels": {}}}
    assert views("namespaces", thing) == Namespace("shop", "3")


def test_equal_ports_are_one_tuple() -> None:
    entries = (PortEntry("http", 80, "TCP"),)
    assert ports_of(entries) is ports_of(entries)


@pytest.mark.parametrize("spec", [{"ports": "many"}, {"clusterIPs": [1]}, {"type": {}}])
def test_an_object_of_the_wrong_shape_is_one_clear_exception(spec: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        views("services", {"metadata": {"name": "web"}, "spec": spec})
