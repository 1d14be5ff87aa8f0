"""A table that keeps octets is a table, and what it was asked to hold does not change."""

from __future__ import annotations

import pytest

from k8sdns.cluster.model import Endpoint, EndpointSlice, Port, Service, Thing, key_of
from k8sdns.cluster.packed import Packed
from k8sdns.cluster.store import Store

PORTS = (Port("http", 80, "TCP"),)


def piece(name: str, address: str) -> EndpointSlice:
    endpoint = Endpoint(address, "", "pod", "node", "zone")
    return EndpointSlice("shop", name, "web", "1", PORTS, (endpoint,), None)


def service(address: str) -> Service:
    return Service("shop", "web", "1", "ClusterIP", (address,), "", PORTS, ())


@pytest.mark.parametrize("thing", [piece("web-1", "10.244.0.1"), service("10.96.0.1")])
def test_what_goes_in_comes_out(thing: Thing) -> None:
    table: Packed[Thing] = Packed(Thing)
    assert table.get(("shop", "web")) is None
    table["shop", "web"] = thing
    assert table["shop", "web"] == table.get(("shop", "web")) == thing
    assert list(table) == [("shop", "web")]
    assert list(table.values()) == [thing]
    del table["shop", "web"]
    assert len(table) == 0
    assert ("shop", "web") not in table


def test_what_is_held_is_what_was_known_whatever_comes_later() -> None:
    store = Store()
    before = [piece("web-1", "10.244.0.1"), piece("web-2", "10.244.0.2"), service("10.96.0.1")]
    for thing in before:
        store.upsert(thing)
    slices, services = store.held("endpointslices"), store.held("services")
    store.upsert(piece("web-1", "10.244.0.9"))
    store.delete("endpointslices", "shop", "web-2")
    store.upsert(service("10.96.0.9"))
    assert sorted(slices, key=key_of) == before[:2]
    assert list(services) == before[2:]
    assert store.slices_of("shop", "web") == (piece("web-1", "10.244.0.9"),)
