"""What every API server does: asked of the fake one, and of a real one (see `conftest`).

What passes on both keeps the fake honest.
"""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
WATCH_LIST = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


def event(response):
    """The next event of a watch as (type, object); None at its end."""
    line = response.readline()
    if not line:
        return None
    one = json.loads(line)
    return one["type"], one["object"]


def service(name, labels=None, **spec):
    spec = {"ports": [{"name": "http", "port": 80}]} | spec
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def test_created_services_are_complete(api, services):
    reply = api(services, "POST", service("web"))
    assert reply.code == 201
    metadata, spec = reply.json["metadata"], reply.json["spec"]
    assert metadata["uid"]
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["resourceVersion"].isdigit()
    assert spec["type"] == "ClusterIP"
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ports"] == [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("None", "Cluster")
    assert len(spec["ipFamilies"]) == 1
    assert spec["ipFamilyPolicy"] == "SingleStack"
    assert reply.json["status"] == {"loadBalancer": {}}


def test_namespaces_carry_their_name_as_a_label(api, place):
    reply = api(f"/api/v1/namespaces/{place}")
    assert reply.json["metadata"]["labels"]["kubernetes.io/metadata.name"] == place
    assert reply.json["status"] == {"phase": "Active"}


def test_headless_and_external_services_get_no_address(api, services):
    headless = api(services, "POST", service("headless", clusterIP="None")).json["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    external = service("external", type="ExternalName", externalName="example.org")
    assert "clusterIP" not in api(services, "POST", external).json["spec"]


def test_list_items_have_no_kind_but_single_objects_do(api, services):
    api(services, "POST", service("web"))
    reply = api(services)
    (item,) = reply.json["items"]
    assert (reply.json["kind"], reply.json["apiVersion"]) == ("ServiceList", "v1")
    assert item.keys().isdisjoint({"kind", "apiVersion"})
    assert api(services + "/web").json["kind"] == "Service"
    assert "managedFields" in item["metadata"]


def test_pages(api, services):
    for number in range(5):
        api(services, "POST", service(f"s{number}"))
    first = api(services + "?limit=2")
    metadata = first.json["metadata"]
    assert [item["metadata"]["name"] for item in first.json["items"]] == ["s0", "s1"]
    assert metadata["remainingItemCount"] == 3
    token = quote(metadata["continue"])
    api(services + "/s4", "DELETE")
    second = api(f"{services}?limit=9&continue={token}")
    assert [item["metadata"]["name"] for item in second.json["items"]] == ["s2", "s3", "s4"]
    assert second.version == first.version
    assert not second.json["metadata"].get("continue")
    refused = api(f"{services}?limit=2&continue={token}&resourceVersion={first.version}")
    assert (refused.code, refused.json["reason"]) == (400, "BadRequest")


def test_any_version_comes_whole(api, services):
    for number in range(3):
        api(services, "POST", service(f"s{number}"))
    time.sleep(0.5)  # a watch cache may be a moment behind
    reply = api(services + "?limit=2&resourceVersion=0")
    assert len(reply.json["items"]) == 3
    assert "continue" not in reply.json["metadata"]


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid"),
        ("resourceVersionMatch=Sometimes&resourceVersion=1", 422, "Invalid"),
        ("resourceVersion=abc", 400, "BadRequest"),
        ("limit=abc", 400, "BadRequest"),
        ("watch=1&timeoutSeconds=abc", 400, "BadRequest"),
        ("watch=1&resourceVersion=abc", 500, None),
        ("labelSelector=a%20b", 400, "BadRequest"),
        ("fieldSelector=spec.colour%3Dred", 400, "BadRequest"),
        ("continue=garbage", 400, "BadRequest"),
        ("watch=1&sendInitialEvents=true&allowWatchBookmarks=true", 422, "Invalid"),
        ("watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=0", 422, "Invalid"),
    ],
)
def test_contradictory_options_are_refused(api, services, query, code, reason):
    reply = api(f"{services}?{query}")
    assert (reply.code, reply.json["kind"]) == (code, "Status")
    assert reply.json.get("reason") == reason


def test_a_limit_below_nought_is_none(api, services):
    api(services, "POST", service("web"))
    assert len(api(services + "?limit=-1").json["items"]) == 1


def test_a_version_ahead_of_the_server_is_a_timeout_with_a_cause(api, services):
    ahead = int(api(services).version) + 10_000_000
    reply = api(f"{services}?resourceVersion={ahead}&resourceVersionMatch=NotOlderThan")
    assert (reply.code, reply.json["reason"]) == (504, "Timeout")
    assert reply.headers["Retry-After"] == "1"
    details = reply.json["details"]
    assert details["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert details["retryAfterSeconds"] == 1


def test_what_is_missing_is_404(api, services):
    missing = api(services + "/none")
    assert (missing.code, missing.json["message"]) == (404, 'services "none" not found')
    assert missing.json["details"] == {"name": "none", "kind": "services"}
    nowhere = api("/apis/none.example.org/v1/things")
    assert (nowhere.code, nowhere.json) == (404, b"404 page not found\n")
    assert nowhere.headers.get_content_type() == "text/plain"
    nothing = api(f"{services.rpartition('/')[0]}/things")
    assert (nothing.code, nothing.json["reason"], nothing.json["details"]) == (404, "NotFound", {})


def test_conflicts_are_409(api, services):
    old = api(services, "POST", service("web")).json
    again = api(services, "POST", service("web"))
    assert (again.code, again.json["reason"]) == (409, "AlreadyExists")
    changed = json.loads(json.dumps(old))
    changed["metadata"]["labels"] = {"a": "b"}
    assert api(services + "/web", "PUT", changed).code == 200
    late = api(services + "/web", "PUT", old)
    assert (late.code, late.json["reason"]) == (409, "Conflict")


def test_an_equal_update_keeps_the_version(api, services):
    stored = api(services, "POST", service("web")).json
    reply = api(services + "/web", "PUT", stored)
    assert reply.version == stored["metadata"]["resourceVersion"]


def test_a_watch_tells_every_change_after_its_version(api, services):
    since = api(services).version
    with api.watch(f"{services}?watch=1&resourceVersion={since}&timeoutSeconds=10") as response:
        assert response.status == 200
        created = api(services, "POST", service("web"))
        patch = {"metadata": {"labels": {"a": "b"}}}
        changed = api(services + "/web", "PATCH", patch, "application/merge-patch+json")
        api(services + "/web", "DELETE")
        events = [event(response) for _ in range(3)]
    assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(thing["metadata"]["resourceVersion"]) for _, thing in events]
    assert versions[:2] == [int(created.version), int(changed.version)]
    assert versions[2] > versions[1]
    assert {(thing["kind"], thing["apiVersion"]) for _, thing in events} == {("Service", "v1")}


def test_a_watch_ends_cleanly_at_its_timeout(api, services):
    with api.watch(f"{services}?watch=1&resourceVersion=0&timeoutSeconds=1") as response:
        assert response.read() == b""


def test_a_watch_without_a_version_begins_with_what_is_there(api, services):
    api(services, "POST", service("web"))
    with api.watch(f"{services}?watch=1&timeoutSeconds=5") as response:
        kind, thing = event(response)
    assert (kind, thing["metadata"]["name"]) == ("ADDED", "web")


def test_watch_list_marks_the_end_of_the_objects(api, services):
    api(services, "POST", service("web"))
    path = f"{services}?watch=1&timeoutSeconds=20&{WATCH_LIST}"
    with api.watch(path) as response:
        if response.status == 422:
            pytest.skip("this server's WatchList gate is off")
        first = event(response)
        if first[0] == "ERROR":
            pytest.skip("this server's etcd cannot do WatchList")
        kind, thing = event(response)
    assert (first[0], first[1]["metadata"]["name"]) == ("ADDED", "web")
    assert kind == "BOOKMARK"
    assert thing["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert thing["spec"] == {}
    assert int(thing["metadata"]["resourceVersion"]) >= int(first[1]["metadata"]["resourceVersion"])


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
def test_a_watch_from_any_version_marks_the_end_of_the_objects_too(api, services, version):
    api(services, "POST", service("web"))
    time.sleep(0.5)  # a watch cache may be a moment behind
    path = f"{services}?watch=1&timeoutSeconds=20&allowWatchBookmarks=true{version}"
    with api.watch(path) as response:
        came, (kind, thing) = event(response), event(response)
    assert (came[0], kind) == ("ADDED", "BOOKMARK")
    assert thing["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_bookmark_of_slices_has_nulls(api, place):
    path = f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices"
    with api.watch(f"{path}?watch=1&timeoutSeconds=20&{WATCH_LIST}") as response:
        kind, thing = event(response)
    assert kind == "BOOKMARK"
    del thing["metadata"]
    assert thing == {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "addressType": "",
        "endpoints": None,
        "ports": None,
    }


def test_objects_enter_and_leave_a_selected_watch(api, services):
    since = api(services).version
    path = f"{services}?watch=1&resourceVersion={since}&labelSelector=app%3Dweb&timeoutSeconds=10"
    with api.watch(path) as response:
        api(services, "POST", service("x", {"app": "db"}))
        for app in ("web", "db"):
            patch = {"metadata": {"labels": {"app": app}}}
            last = api(services + "/x", "PATCH", patch, "application/merge-patch+json")
        (came, _), (left, thing) = event(response), event(response)
    assert (came, left) == ("ADDED", "DELETED")
    assert thing["metadata"]["resourceVersion"] == last.version


def test_strategic_merge_tells_ports_apart_by_number(api, services):
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    api(services, "POST", service("web", ports=ports))
    patch = {"spec": {"ports": [{"port": 82, "name": "c"}, {"$patch": "delete", "port": 80}]}}
    reply = api(services + "/web", "PATCH", patch, STRATEGIC)
    assert sorted(port["port"] for port in reply.json["spec"]["ports"]) == [81, 82]


def test_server_side_apply_owns_what_it_says(api, services):
    path = services + "/web?fieldManager=conformity&force=true"
    config = service("web", ports=[{"name": "a", "port": 80}, {"name": "b", "port": 81}])
    assert api(path, "PATCH", config, APPLY).code == 201
    reply = api(path, "PATCH", service("web", ports=[{"name": "b", "port": 81}]), APPLY)
    assert reply.code == 200
    assert [port["port"] for port in reply.json["spec"]["ports"]] == [81]
    managers = [one["manager"] for one in reply.json["metadata"]["managedFields"]]
    assert "conformity" in managers


def test_endpoint_slices_come_back_as_they_went(api, place):
    path = f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices"
    thing = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }
    assert api(path, "POST", thing).code == 201
    (item,) = api(path + "?labelSelector=kubernetes.io/service-name%3Dweb").json["items"]
    assert [item[name] for name in ("addressType", "endpoints", "ports")] == [
        thing[name] for name in ("addressType", "endpoints", "ports")
    ]
    api(path + "/web-1", "DELETE")


def test_an_object_needs_its_namespace(api):
    reply = api("/api/v1/namespaces/k8sdns-none/services", "POST", service("web"))
    assert (reply.code, reply.json["message"]) == (404, 'namespaces "k8sdns-none" not found')
