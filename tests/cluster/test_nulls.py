"""Go writes null for every empty list, map and struct: each is as good as absent, everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from k8sdns.cluster.manifests import ManifestSource
from k8sdns.cluster.model import KINDS, Kind
from k8sdns.cluster.reading import ListReader, WatchReader
from k8sdns.cluster.reflection import Action, Upsert
from k8sdns.cluster.reflector import Reflector
from k8sdns.cluster.store import Store

META = {"name": "web", "namespace": "shop", "resourceVersion": "7"}
HEADS = {
    "services": {"kind": "Service", "apiVersion": "v1"},
    "endpointslices": {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1"},
    "pods": {"kind": "Pod", "apiVersion": "v1"},
    "namespaces": {"kind": "Namespace", "apiVersion": "v1"},
}

SERVICE: dict[str, Any] = {
    "type": "ClusterIP",
    "clusterIP": "10.96.0.20",
    "clusterIPs": ["10.96.0.20"],
}
ENDPOINT: dict[str, Any] = {"addresses": ["10.1.1.1"]}

NULLS: list[tuple[Kind, dict[str, Any]]] = [
    *(("services", {"spec": SERVICE | {name: None}}) for name in ("ports", "clusterIPs")),
    *(
        ("services", {"spec": SERVICE | {name: None}})
        for name in ("selector", "externalIPs", "ipFamilies", "loadBalancerSourceRanges")
    ),
    ("services", {"spec": None}),
    ("services", {"spec": SERVICE, "status": None}),
    ("services", {"spec": SERVICE, "status": {"loadBalancer": None, "conditions": None}}),
    ("services", {"spec": SERVICE, "status": {"loadBalancer": {"ingress": None}}}),
    ("services", {"spec": SERVICE | {"ports": [{"port": 80, "name": None, "protocol": None}]}}),
    ("endpointslices", {"endpoints": None, "ports": None}),
    ("endpointslices", {"addressType": None, "endpoints": [ENDPOINT], "ports": None}),
    ("endpointslices", {"endpoints": [], "ports": []}),
    *(
        ("endpointslices", {"endpoints": [ENDPOINT | {name: None}], "ports": None})
        for name in ("addresses", "conditions", "hostname", "targetRef", "nodeName", "zone")
    ),
    *(
        ("endpointslices", {"endpoints": [ENDPOINT | {name: None}], "ports": None})
        for name in ("hints", "deprecatedTopology")
    ),
    ("endpointslices", {"endpoints": [ENDPOINT | {"conditions": {}}], "ports": None}),
    (
        "endpointslices",
        {"endpoints": [ENDPOINT | {"conditions": {"ready": None, "serving": None}}]},
    ),
    ("endpointslices", {"ports": [{"port": None, "name": None, "protocol": None}]}),
    ("pods", {"spec": None, "status": None}),
    ("pods", {"spec": {"containers": None}, "status": {"podIP": "10.1.1.1", "podIPs": None}}),
    ("pods", {"spec": {"containers": [{"ports": None}]}, "status": {"conditions": None}}),
    ("namespaces", {"spec": None, "status": None}),
    ("namespaces", {"spec": {"finalizers": None}, "status": {"conditions": None}}),
]
META_NULLS = ("labels", "annotations", "ownerReferences", "finalizers", "managedFields")

THINGS = NULLS + [
    (kind, {"metadata": META | {name: None, "creationTimestamp": None}})
    for kind in KINDS
    for name in META_NULLS
]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


class Reading:
    """A reader of one kind's stream or list, and what it asked for and complained of."""

    def __init__(self, kind: Kind, how: str) -> None:
        self.actions: list[Action] = []
        self.complaints: list[str] = []
        self.reflector = Reflector(lambda: 0.0, watch_list=how == "WatchList")
        self.reflector.started()
        self.reflector.opened()
        if how == "watch":
            self.reflector.page_ended("1", "")
            self.reflector.opened()
        reader = ListReader if how == "list" else WatchReader
        self.reader = reader(kind, self.reflector, self.actions.extend, self.complaints.append)
        self._is_list = how == "list"

    def take(self, *things: Any) -> list[Any]:
        """Read `things` and return what is held of them."""
        if self._is_list:
            body = {"kind": "List", "metadata": {"resourceVersion": "9", "continue": None}}
            self.reader.received(json.dumps(body | {"items": list(things)}).encode())
            self.reader.ended("")
        else:
            for thing in things:
                event = {"type": "ADDED", "object": thing}
                self.reader.received(json.dumps(event).encode() + b"\n")
        return [action.thing for action in self.actions if isinstance(action, Upsert)]


HOWS = ("list", "watch", "WatchList")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("kind", "fields"), THINGS)
def test_null_is_as_good_as_absent_from_an_api_server(
    how: str, kind: Kind, fields: dict[str, Any]
) -> None:
    thing = HEADS[kind] | {"metadata": META} | fields
    reading, plain = Reading(kind, how), Reading(kind, how)
    (found,) = reading.take(thing)
    assert [found] == plain.take(without_nulls(thing))
    assert reading.complaints == []


@pytest.mark.parametrize("form", ["{}", '{{"kind": "List", "apiVersion": "v1", "items": [{}]}}'])
@pytest.mark.parametrize(("kind", "fields"), THINGS)
def test_null_is_as_good_as_absent_in_a_manifest(
    tmp_path: Path, form: str, kind: Kind, fields: dict[str, Any]
) -> None:
    thing = HEADS[kind] | {"metadata": META} | fields
    stores = []
    for number, value in enumerate((thing, without_nulls(thing))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.json").write_text(form.format(json.dumps(value)))
        stores.append(Store(lambda: 0.0))
        source = ManifestSource([str(folder)], stores[-1], Clock())
        source.start()
        assert source.problems == {}
        source.stop()
    namespace = "" if kind == "namespaces" else "shop"
    found, plain = (store.get(kind, namespace, "web") for store in stores)
    assert found == plain
    assert found is not None


@pytest.mark.parametrize("kind", ["List", "ServiceList"])
def test_a_list_of_nothing_is_no_object(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"kind": kind, "apiVersion": "v1", "items": None}))
    (tmp_path / "b.yaml").write_text(f"kind: {kind}\napiVersion: v1\nitems:\n")
    source = ManifestSource([str(tmp_path)], Store(lambda: 0.0), Clock())
    source.start()
    assert source.problems == {}
    source.stop()


def deep(levels: int = 100_000) -> Any:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_object_nested_without_end_costs_itself_alone(how: str, place: int) -> None:
    reading = Reading("services", how)
    names = ["a", "b", "c"]
    things = [
        json.dumps({"metadata": {"name": name}, "spec": {"selector": "HERE" * (at == place)}})
        for at, name in enumerate(names)
    ]
    texts = [thing.replace(" ", "").replace('"HERE"', deep()).encode() for thing in things]
    if how == "list":
        body = b'{"kind":"L","metadata":{"resourceVersion":"9"},"items":[%s]}' % b",".join(texts)
        reading.reader.received(body)
        reading.reader.ended("")
        assert reading.reflector.resource_version == "9"
    else:
        for text in texts:
            reading.reader.received(b'{"type":"ADDED","object":%s}\n' % text)
    held = [action.thing.name for action in reading.actions if isinstance(action, Upsert)]
    assert held == [name for at, name in enumerate(names) if at != place]
    assert len(reading.complaints) == 1
