"""Writing: create, update, patch, apply, delete, and what the server adds by itself."""

from __future__ import annotations

import pytest

SERVICES = "/api/v1/namespaces/shop/services"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@pytest.fixture
def shop(server, namespace):
    server.apply(namespace("shop"))
    return server


def ports(thing):
    return [(port["port"], port.get("name")) for port in thing["spec"]["ports"]]


def test_a_created_service_gets_identity_defaults_and_an_address(shop, ask, service):
    reply = ask(SERVICES, "POST", service("web", ports=[{"port": 80}]))
    thing = reply.json
    assert reply.code == 201
    assert {"uid", "creationTimestamp", "resourceVersion", "managedFields"} <= thing[
        "metadata"
    ].keys()
    assert thing["spec"]["clusterIP"].startswith("10.96.")
    assert thing["spec"]["clusterIPs"] == [thing["spec"]["clusterIP"]]
    assert thing["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert ask(SERVICES + "/web").json == thing


def test_addresses_are_not_given_out_twice(shop, ask, service):
    given = {ask(SERVICES, "POST", service(name)).json["spec"]["clusterIP"] for name in "abc"}
    assert len(given) == 3


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ({"clusterIP": "None"}, "None"),
        ({"clusterIP": "10.96.0.99"}, "10.96.0.99"),
        ({"clusterIPs": ["fd00::1", "10.96.0.7"]}, "fd00::1"),
        ({"type": "ExternalName", "externalName": "example.org"}, None),
    ],
)
def test_an_address_that_is_given_stays(server, service, spec, address):
    assert server.apply(service("x", **spec))["spec"].get("clusterIP") == address


@pytest.mark.parametrize(
    ("spec", "families"),
    [
        ({}, ["IPv4"]),
        ({"ipFamilies": ["IPv6"]}, ["IPv6"]),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4", "IPv6"]),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, ["IPv6", "IPv4"]),
    ],
)
def test_each_family_wanted_gets_an_address(server, service, spec, families):
    stored = server.apply(service("x", **spec))["spec"]
    assert stored["ipFamilies"] == families
    assert ["IPv6" if ":" in ip else "IPv4" for ip in stored["clusterIPs"]] == families
    assert stored["clusterIP"] == stored["clusterIPs"][0]


def test_a_replaced_service_keeps_uid_and_address(server, service):
    first = server.apply(service("web", ports=[{"port": 80}]))
    second = server.apply(service("web", ports=[{"port": 81}]))
    assert second["spec"]["clusterIP"] == first["spec"]["clusterIP"]
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        ("POST " + SERVICES, (409, "AlreadyExists")),
        ("POST /api/v1/namespaces/nowhere/services", (400, "BadRequest")),
        ("PUT " + SERVICES + "/other", (400, "BadRequest")),
        ("PUT " + SERVICES, (405, "MethodNotAllowed")),
        ("DELETE " + SERVICES + "/other", (404, "NotFound")),
    ],
)
def test_refusals(shop, ask, service, request_line, answer):
    shop.apply(service("web"))
    method, path = request_line.split()
    reply = ask(path, method, service("web"))
    assert (reply.code, reply.json["reason"]) == answer


def test_create_needs_its_namespace(ask, service):
    reply = ask("/api/v1/namespaces/gone/services", "POST", service("web", namespace="gone"))
    assert (reply.code, reply.json["message"]) == (404, 'namespaces "gone" not found')


def test_update_with_an_old_version_is_a_conflict(shop, ask, service):
    old = shop.apply(service("web"))
    shop.apply(service("web", externalIPs=["192.0.2.1"]))
    assert ask(SERVICES + "/web", "PUT", old).json["reason"] == "Conflict"


def test_strategic_merge_knows_ports_by_their_number(shop, ask, service):
    shop.apply(service("web", ports=[{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]))
    patch = {
        "spec": {
            "$setElementOrder/ports": [{"port": 81}, {"port": 82}],
            "ports": [{"port": 82, "name": "c"}, {"$patch": "delete", "port": 80}],
            "sessionAffinity": None,
        }
    }
    reply = ask(SERVICES + "/web", "PATCH", patch, Content_Type=STRATEGIC)
    assert ports(reply.json) == [(81, "b"), (82, "c")]
    assert reply.json["spec"]["sessionAffinity"] == "None"  # removed, then defaulted


def test_strategic_merge_replaces_the_ports_of_a_slice(server, ask):
    path = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
    metadata = {"name": "s", "namespace": "shop"}
    server.apply(kind | {"metadata": metadata, "endpoints": [], "ports": [{"port": 1}]})
    patch = {"ports": [{"port": 2, "name": "x"}]}
    assert ask(path + "/s", "PATCH", patch, Content_Type=STRATEGIC).json["ports"] == [
        {"port": 2, "name": "x", "protocol": "TCP"}
    ]


def test_merge_and_json_patches(shop, ask, service):
    shop.apply(service("web", labels={"a": "1", "b": "2"}))
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}}
    reply = ask(SERVICES + "/web", "PATCH", patch, Content_Type=MERGE)
    assert reply.json["metadata"]["labels"] == {"b": "2", "c": "3"}
    operations = [
        {"op": "test", "path": "/metadata/labels/b", "value": "2"},
        {"op": "add", "path": "/metadata/labels/x~1y", "value": "4"},
        {"op": "remove", "path": "/metadata/labels/c"},
    ]
    reply = ask(SERVICES + "/web", "PATCH", operations, Content_Type=JSON_PATCH)
    assert reply.json["metadata"]["labels"] == {"b": "2", "x/y": "4"}
    operations[0]["value"] = "9"
    assert ask(SERVICES + "/web", "PATCH", operations, Content_Type=JSON_PATCH).code == 422


def test_an_unknown_kind_of_patch_is_415(shop, ask, service):
    shop.apply(service("web"))
    assert ask(SERVICES + "/web", "PATCH", {}, Content_Type="application/json").code == 415
    body = b"k8s\x00\x00"
    protobuf = "application/vnd.kubernetes.protobuf"
    assert ask(SERVICES, "POST", body, Content_Type=protobuf).code == 415


def test_server_side_apply_creates_then_removes_what_it_no_longer_says(shop, ask, service):
    path = SERVICES + "/web?fieldManager=me"
    named = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    config = service("web", ports=named, externalIPs=["192.0.2.1"])
    assert ask(path, "PATCH", config, Content_Type=APPLY).code == 201
    other = {"metadata": {"labels": {"other": "manager"}}}
    ask(SERVICES + "/web", "PATCH", other, Content_Type=MERGE)
    reply = ask(path, "PATCH", service("web", ports=named[1:]), Content_Type=APPLY)
    assert reply.code == 200
    assert ports(reply.json) == [(81, "b")]
    assert "externalIPs" not in reply.json["spec"]
    assert reply.json["metadata"]["labels"] == {"other": "manager"}
    managers = [
        (one["manager"], one["operation"]) for one in reply.json["metadata"]["managedFields"]
    ]
    assert managers.count(("me", "Apply")) == 1


def test_server_side_apply_needs_a_manager(shop, ask, service):
    assert ask(SERVICES + "/web", "PATCH", service("web"), Content_Type=APPLY).code == 422


def test_a_dry_run_changes_nothing(shop, ask, service):
    before = shop.revision
    assert ask(SERVICES + "?dryRun=All", "POST", service("web")).code == 201
    shop.apply(service("kept"))
    assert ask(SERVICES + "/kept?dryRun=All", "DELETE").code == 200
    assert [thing["metadata"]["name"] for thing in shop.objects("Service")] == ["kept"]
    assert shop.revision == before + 1


def test_a_deleted_namespace_terminates_then_takes_its_objects_along(clock, shop, ask, service):
    shop.apply(service("web"))
    shop.apply(service("kept", namespace="other"))
    reply = ask("/api/v1/namespaces/shop", "DELETE")
    assert reply.json["status"] == {"phase": "Terminating"}
    assert reply.json["metadata"]["deletionTimestamp"]
    refused = ask(SERVICES, "POST", service("late"))
    assert (refused.code, refused.json["reason"]) == (403, "Forbidden")
    assert len(shop.objects("Service")) == 2
    clock.advance(1)
    assert [thing["metadata"]["name"] for thing in shop.objects("Service")] == ["kept"]
    assert ask("/api/v1/namespaces/shop").code == 404


def test_delete_in_process_takes_one_object_only(shop, service):
    shop.apply(service("web"))
    assert shop.delete("Namespace", "", "shop")
    assert not shop.delete("Namespace", "", "shop")
    assert shop.get("Service", "shop", "web") is not None


def test_status_is_written_apart(shop, ask, service):
    shop.apply(service("web", externalIPs=["192.0.2.1"]))
    body = service("web") | {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}}}
    reply = ask(SERVICES + "/web/status", "PUT", body)
    assert reply.json["spec"]["externalIPs"] == ["192.0.2.1"]
    assert reply.json["status"]["loadBalancer"]["ingress"] == [{"ip": "198.51.100.1"}]


@pytest.mark.parametrize("replicas", [-1, "many", None])
def test_scale_takes_numbers_only(server, ask, replicas):
    metadata = {"name": "web", "namespace": "shop"}
    server.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}})
    path = "/apis/apps/v1/namespaces/shop/deployments/web/scale"
    assert ask(path, "PUT", {"spec": {"replicas": replicas}}).code == 400
    assert ask(path, "PATCH", {"spec": {"replicas": 4}}, Content_Type=MERGE).code == 200
    assert ask(path).json["spec"] == {"replicas": 4}
    assert ask("/api/v1/namespaces/shop/services/web/scale").code == 404


def test_a_custom_resource_is_served_once_it_is_defined(server, ask):
    spec = {
        "group": "acme.io",
        "scope": "Cluster",
        "names": {"plural": "anvils", "kind": "Anvil", "shortNames": ["av"]},
        "versions": [{"name": "v1", "served": True}],
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "anvils.acme.io"},
        "spec": spec,
    }
    assert ask("/apis/acme.io/v1").code == 404
    server.apply(definition)
    (entry,) = ask("/apis/acme.io/v1").json["resources"]
    assert (entry["kind"], entry["namespaced"], entry["shortNames"]) == ("Anvil", False, ["av"])
    anvil = {"apiVersion": "acme.io/v1", "kind": "Anvil", "metadata": {"name": "a"}}
    assert ask("/apis/acme.io/v1/anvils", "POST", anvil).code == 201


def test_manifests_load_from_files_folders_lists_and_many_documents(server, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.json").write_text(
        '{"apiVersion":"v1","kind":"NamespaceList","items":[{"metadata":{"name":"c"}}]}'
    )
    (tmp_path / "notes.txt").write_text("no manifest")
    assert server.load(tmp_path) == 3
    assert [thing["metadata"]["name"] for thing in server.objects("Namespace")] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text", ["just words", "apiVersion: v1\nkind: Service", "a: [", "kind: X\nmetadata: {}"]
)
def test_a_broken_manifest_names_its_file(server, tmp_path, text):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        server.load(tmp_path)


@pytest.mark.parametrize(
    ("path", "code", "answer"),
    [
        ("delete?kind=Namespace&ns=&name=shop", 200, b"deleted\n"),
        ("delete?kind=Namespace&name=none", 200, b"not there\n"),
        ("delete?kind=Nonsense&name=none", 400, None),
        ("compact", 200, b"compacted\n"),
        ("disconnect", 200, b"0 watches reset\n"),
        ("cut?after=9&verb=list", 200, b"waiting for its request\n"),
        ("cut?after=x", 400, None),
        ("cut?how=gently", 400, None),
        ("explode", 404, None),
    ],
)
def test_control_paths(shop, ask, path, code, answer):
    reply = ask("/_ctl/" + path, "POST", b"")
    assert reply.code == code
    assert answer in (None, reply.body.octets)


def test_control_apply_takes_many_documents(server, ask):
    text = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n" * 2
    assert ask("/_ctl/apply", "POST", text).body.octets == b"2 objects applied\n"
    assert server.get("Namespace", "", "a") is not None
    assert ask("/_ctl/apply", "POST", b"nonsense").code == 400
    assert ask("/_ctl/apply").code == 405


@pytest.mark.parametrize(
    ("path", "method", "body", "content_type", "code"),
    [
        ("/api/v1/namespaces", "POST", {"metadata": {"name": "n", "labels": None}}, None, 201),
        ("/api/v1/namespaces", "POST", {"metadata": {"name": "n", "labels": "x"}}, None, 400),
        ("/api/v1/namespaces", "POST", {"metadata": "x"}, None, 400),
        (SERVICES, "POST", {"metadata": {"name": "n"}, "spec": "x"}, None, 400),
        (SERVICES, "POST", {"metadata": {"name": "n"}, "spec": {"ports": [1]}}, None, 400),
        (SERVICES, "POST", {"metadata": {"name": "n"}, "spec": None}, None, 422),
        (SERVICES, "POST", [], None, 400),
        (SERVICES + "/web", "PATCH", [{"op": "add", "path": 7}], JSON_PATCH, 422),
        (SERVICES + "/web", "PATCH", {"op": "add"}, JSON_PATCH, 400),
        (SERVICES + "/web", "PATCH", "x", MERGE, 400),
        (SERVICES + "/web", "PATCH", {"spec": {"ports": {"a": 1}}}, MERGE, 400),
        (SERVICES + "/web?fieldManager=me", "PATCH", {"spec": "x"}, APPLY, 400),
        (SERVICES + "/web", "DELETE", {"preconditions": "x"}, None, 200),
    ],
)
def test_no_body_is_an_internal_error(shop, ask, service, path, method, body, content_type, code):
    shop.apply(service("web"))
    reply = ask(path, method, body, Content_Type=content_type or "application/json")
    assert reply.code == code
