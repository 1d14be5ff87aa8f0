"""What every API server makes of objects that are written: asked of the fake one and a real one.

Each row of a table is one request, with the status and the part of the body that a DNS server or
kubectl can notice. See `conftest` for where the real one comes from.
"""

from __future__ import annotations

import copy

import pytest

STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
ANY_PORT = "any port"


@pytest.fixture
def slices(api, place):
    """The path of the namespace's EndpointSlices, all of them gone afterwards."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices"
    yield path
    api(path, "DELETE")


def service(name, labels=None, **spec):
    spec = {"ports": [{"name": "http", "port": 80}]} | spec
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def endpoint_slice(name, addresses=("192.0.2.1",), **more):
    thing = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name},
        "addressType": "IPv4",
        "endpoints": [{"addresses": list(addresses)}],
        "ports": [{"name": "http", "port": 80}],
    }
    thing |= more
    return {name: value for name, value in thing.items() if value != "absent"}


def without_numbers(thing):
    """A Service whose node ports, which servers choose, are told by a word."""
    thing = copy.deepcopy(thing)
    for port in thing.get("ports", []):
        if 30000 <= port.get("nodePort", 0) < 32768:
            port["nodePort"] = ANY_PORT
    return thing


def causes(reply):
    """What a 422 says, as (reason, field) pairs."""
    found = reply.json["details"]["causes"]
    return [(one["reason"].removeprefix("FieldValue"), one["field"]) for one in found]


# -- Services ------------------------------------------------------------------------------------

PLAIN = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}
WITH_NODE_PORT = PLAIN | {"nodePort": ANY_PORT}

KEPT = [
    ({"selector": {}}, {"selector": None, "type": "ClusterIP", "sessionAffinity": "None"}),
    ({"clusterIP": "None", "selector": {"a": "b"}}, {"ports": [PLAIN], "clusterIPs": ["None"]}),
    (
        {"clusterIP": "None", "ports": []},
        {"ports": None, "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"},
    ),
    (
        {"type": "ExternalName", "externalName": "example.org"},
        {"ports": [PLAIN], "clusterIP": None, "ipFamilies": None, "internalTrafficPolicy": None},
    ),
    (
        {"type": "ExternalName", "externalName": "example.org", "ports": []},
        {"ports": None, "externalName": "example.org"},
    ),
    (
        {"type": "NodePort"},
        {"ports": [WITH_NODE_PORT], "externalTrafficPolicy": "Cluster"},
    ),
    (
        {"type": "LoadBalancer"},
        {"ports": [WITH_NODE_PORT], "allocateLoadBalancerNodePorts": True},
    ),
    (
        {"ports": [{"port": 53, "protocol": "UDP", "targetPort": "dns"}]},
        {"ports": [{"port": 53, "protocol": "UDP", "targetPort": "dns"}]},
    ),
    ({"publishNotReadyAddresses": False}, {"publishNotReadyAddresses": None}),
    ({"publishNotReadyAddresses": True}, {"publishNotReadyAddresses": True}),
    ({"colour": "red"}, {"colour": None}),
    ({"externalIPs": None}, {"externalIPs": None}),
]


@pytest.mark.parametrize(("spec", "kept"), KEPT)
def test_a_service_comes_back_with_defaults(api, services, spec, kept):
    reply = api(services, "POST", service("web", **spec))
    assert reply.code == 201
    found = without_numbers(reply.json["spec"])
    assert {name: found.get(name) for name in kept} == kept
    assert "labels" not in reply.json["metadata"]
    assert "generation" not in reply.json["metadata"]


TWO = [{"port": 80}, {"port": 81}]
REFUSED = [
    ("Web_", {}, [("Invalid", "metadata.name")]),
    ("x" * 64, {}, [("Invalid", "metadata.name")]),
    ("x", {"ports": []}, [("Required", "spec.ports")]),
    ("x", {"type": "ExternalName"}, [("Required", "spec.externalName")]),
    (
        "x",
        {"ports": TWO},
        [("Required", "spec.ports[0].name"), ("Required", "spec.ports[1].name")],
    ),
    (
        "x",
        {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
        [("Duplicate", "spec.ports[1]")],
    ),
    (
        "x",
        {"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]},
        [("Duplicate", "spec.ports[1].name")],
    ),
    (
        "x",
        {"ports": [{"port": 70000}]},
        [("Invalid", "spec.ports[0].port"), ("Invalid", "spec.ports[0].targetPort")],
    ),
    ("x", {"ports": [{"name": "A_", "port": 80}]}, [("Invalid", "spec.ports[0].name")]),
    (
        "x",
        {"ports": [{"port": 80, "protocol": "ICMP"}]},
        [("NotSupported", "spec.ports[0].protocol")],
    ),
    ("x", {"clusterIP": "nonsense"}, [("Invalid", "spec.clusterIPs[0]")]),
]


@pytest.mark.parametrize(("name", "spec", "why"), REFUSED)
def test_a_service_that_breaks_rules_is_422(api, services, name, spec, why):
    reply = api(services, "POST", service(name, **spec))
    assert (reply.code, reply.json["reason"]) == (422, "Invalid")
    assert (reply.json["details"]["kind"], reply.json["details"]["name"]) == ("Service", name)
    assert causes(reply) == why
    assert reply.json["message"].startswith(f'Service "{name}" is invalid: ')


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", service("x", ports="x")),
        ("", service("x", ports=[{"port": "80"}])),
        ("", service("x", clusterIP=7)),
        ("", service("x", ["a"])),
        ("", endpoint_slice("x")),
        ("?fieldValidation=Strict", service("x", colour="red")),
    ],
)
def test_what_is_no_service_is_400(api, services, query, body):
    reply = api(services + query, "POST", body)
    assert (reply.code, reply.json["reason"]) == (400, "BadRequest")
    assert "Service" in reply.json["message"]


def test_an_address_once_set_stays(api, services):
    stored = api(services, "POST", service("web")).json
    patch = {"spec": {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}}
    reply = api(services + "/web", "PATCH", patch, MERGE)
    assert (reply.code, causes(reply)) == (422, [("Invalid", "spec.clusterIPs[0]")])
    whole = api(services + "/web", "PUT", service("web"))
    assert (whole.code, whole.json["spec"]["clusterIP"]) == (200, stored["spec"]["clusterIP"])


def test_a_service_may_become_a_name_and_back(api, services):
    api(services, "POST", service("web", type="NodePort"))
    to_name = {"type": "ExternalName", "externalName": "a.b", "clusterIP": "", "clusterIPs": None}
    spec = api(services + "/web", "PATCH", {"spec": to_name}, MERGE).json["spec"]
    assert spec["ports"] == [PLAIN]
    assert {"clusterIP", "ipFamilies", "internalTrafficPolicy"}.isdisjoint(spec)
    back = {"spec": {"type": "ClusterIP", "externalName": None}}
    spec = api(services + "/web", "PATCH", back, MERGE).json["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ipFamilyPolicy"] == "SingleStack"


def test_the_address_of_a_load_balancer_is_virtual(api, services):
    api(services, "POST", service("web", type="LoadBalancer"))
    patch = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
    reply = api(services + "/web/status", "PATCH", patch, MERGE)
    assert reply.json["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.9", "ipMode": "VIP"}]


# -- EndpointSlices ------------------------------------------------------------------------------

SHOWN = [
    ({}, [{"addresses": ["192.0.2.1"], "conditions": {}}]),
    ({"endpoints": []}, None),
    ({"endpoints": None}, None),
    ({"endpoints": "absent"}, None),
    (
        {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": False}}]},
        [{"addresses": ["192.0.2.1"], "conditions": {"ready": False}}],
    ),
    (
        {"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]},
        [{"addresses": ["a.example"], "conditions": {}}],
    ),
]


@pytest.mark.parametrize(("fields", "endpoints"), SHOWN)
def test_a_slice_comes_back_as_go_writes_it(api, slices, fields, endpoints):
    reply = api(slices, "POST", endpoint_slice("web", **fields))
    assert (reply.code, reply.json["endpoints"]) == (201, endpoints)
    assert reply.json["metadata"]["generation"] == 1
    (item,) = api(slices).json["items"]
    assert item["endpoints"] == endpoints


PORTS = [
    ([{"port": 80}], [{"name": "", "port": 80, "protocol": "TCP"}]),
    ([{"name": ""}], [{"name": "", "protocol": "TCP"}]),
    ([], None),
    (None, None),
    ("absent", None),
]


@pytest.mark.parametrize(("given", "shown"), PORTS)
def test_ports_of_a_slice_have_defaults_and_none_is_null(api, slices, given, shown):
    reply = api(slices, "POST", endpoint_slice("web", ports=given))
    assert (reply.code, reply.json["ports"]) == (201, shown)


def with_addresses(*addresses, **more):
    return endpoint_slice("x", addresses, **more)


REFUSED_SLICES = [
    (with_addresses("nope"), [("Invalid", "endpoints[0].addresses[0]")]),
    (with_addresses("127.0.0.1"), [("Invalid", "endpoints[0].addresses[0]")]),
    (with_addresses("169.254.1.1"), [("Invalid", "endpoints[0].addresses[0]")]),
    (with_addresses("0.0.0.0"), [("Invalid", "endpoints[0].addresses[0]")]),
    (with_addresses("2001:db8::1"), [("Invalid", "endpoints[0].addresses")]),
    (with_addresses(), [("Required", "endpoints[0].addresses")]),
    (
        with_addresses("2001:0DB8:0::1", addressType="IPv6"),
        [("Invalid", "endpoints[0].addresses[0]")],
    ),
    (with_addresses("192.0.2.1", addressType="absent"), [("Required", "addressType")]),
    (
        with_addresses("192.0.2.1", ports=[{"name": "a", "port": 1}, {"name": "a", "port": 2}]),
        [("Duplicate", "ports[1].name")],
    ),
    (
        with_addresses("192.0.2.1", ports=[{"name": "A_", "port": 1}]),
        [("Invalid", "ports[0].name")],
    ),
]


@pytest.mark.parametrize(("thing", "why"), REFUSED_SLICES)
def test_a_slice_that_breaks_rules_is_422(api, slices, thing, why):
    reply = api(slices, "POST", thing)
    assert (reply.code, causes(reply)) == (422, why)
    assert reply.json["details"]["group"] == "discovery.k8s.io"
    assert reply.json["message"].startswith('EndpointSlice.discovery.k8s.io "x" is invalid: ')


def test_the_address_type_stays_and_the_generation_counts(api, slices):
    api(slices, "POST", endpoint_slice("web"))
    reply = api(slices + "/web", "PATCH", {"addressType": "IPv6"}, MERGE)
    assert (reply.code, causes(reply)[0]) == (422, ("Invalid", "addressType"))
    patch = {"endpoints": [{"addresses": ["192.0.2.7"]}]}
    reply = api(slices + "/web", "PATCH", patch, STRATEGIC)
    assert (reply.code, reply.json["metadata"]["generation"]) == (200, 2)
    noted = api(slices + "/web", "PATCH", {"metadata": {"annotations": {"a": "b"}}}, MERGE)
    assert noted.json["metadata"]["generation"] == 2


# -- every kind ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "code"), [(None, 201), ({}, 201), ({"a": "b"}, 201), ("x", 400), ({"a": 1}, 400)]
)
def test_labels_are_a_map_of_text(api, place, labels, code):
    path = f"/api/v1/namespaces/{place}/configmaps"
    metadata = {"name": "labelled", "labels": labels}
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    reply = api(path, "POST", thing)
    assert reply.code == code
    if code == 201:
        assert reply.json["metadata"].get("labels") == (labels or None)
        api(path + "/labelled", "DELETE")


def test_metadata_alone(api, services):
    api(services, "POST", service("web"))
    one = api(services + "/web", accept=METADATA).json
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert "spec" not in one
    many = METADATA.replace("Metadata;", "MetadataList;")
    (item,) = api(services, accept=many).json["items"]
    assert item == one


def test_a_deleted_service_is_answered_and_a_deleted_slice_is_not(api, services, slices):
    stored = api(services, "POST", service("web")).json
    gone = api(services + "/web", "DELETE").json
    assert (gone["kind"], gone["metadata"]["uid"]) == ("Service", stored["metadata"]["uid"])
    stored = api(slices, "POST", endpoint_slice("web")).json
    gone = api(slices + "/web", "DELETE").json
    assert (gone["kind"], gone["status"]) == ("Status", "Success")
    assert gone["details"] == {
        "name": "web",
        "group": "discovery.k8s.io",
        "kind": "endpointslices",
        "uid": stored["metadata"]["uid"],
    }


def test_a_collection_is_deleted_by_selector_and_answered_as_a_list(api, slices):
    for name in ("a", "b"):
        thing = endpoint_slice(name)
        thing["metadata"]["labels"] = {"app": name}
        api(slices, "POST", thing)
    reply = api(slices + "?labelSelector=app%3Da", "DELETE")
    assert (reply.code, reply.json["kind"]) == (200, "EndpointSliceList")
    assert [item["metadata"]["name"] for item in reply.json["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in api(slices).json["items"]] == ["b"]


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_a_delete_of_another_object_of_that_name_is_409(api, services, field):
    api(services, "POST", service("web"))
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {field: "1"}}
    reply = api(services + "/web", "DELETE", options)
    assert (reply.code, reply.json["reason"]) == (409, "Conflict")
    assert reply.json["details"]["name"] == "web"
    assert api(services + "/web").code == 200


def test_a_put_makes_a_service_and_no_slice(api, services, slices):
    made = api(services + "/new", "PUT", service("new"))
    assert (made.code, made.json["metadata"]["name"]) == (201, "new")
    assert api(slices + "/new", "PUT", endpoint_slice("new")).code == 404


def test_a_put_says_the_name_of_its_path(api, services):
    api(services, "POST", service("web"))
    reply = api(services + "/web", "PUT", service("other"))
    assert (reply.code, reply.json["reason"]) == (400, "BadRequest")
    assert "does not match the name on the URL (web)" in reply.json["message"]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/name", "value": "x"},
        {"op": "replace", "path": "/nope/x", "value": 1},
        {"op": "remove", "path": "/metadata/nope"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_422(api, services, operation):
    api(services, "POST", service("web"))
    reply = api(services + "/web", "PATCH", [operation], JSON_PATCH)
    assert (reply.code, reply.json["reason"], reply.json["details"]) == (422, "Invalid", {})


def test_a_field_of_another_manager_is_a_conflict_unless_it_is_forced(api, services):
    path = services + "/web?fieldManager="
    assert api(path + "one", "PATCH", bare("a"), APPLY).code == 201
    refused = api(path + "two", "PATCH", bare("b"), APPLY)
    assert (refused.code, refused.json["reason"]) == (409, "Conflict")
    assert refused.json["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one"',
            "field": '.spec.ports[port=80,protocol="TCP"].name',
        }
    ]
    assert api(path + "two&force=true", "PATCH", bare("b"), APPLY).code == 200
    assert api(path + "two", "PATCH", bare("c"), APPLY).code == 200
    assert api(path + "one", "PATCH", bare("a"), APPLY).code == 409


def bare(port_name):
    """A Service to apply, with nothing that it does not mean."""
    thing = service("web", ports=[{"name": port_name, "port": 80, "protocol": "TCP"}])
    del thing["metadata"]["labels"]
    return thing


def test_an_apply_says_who_applies(api, services):
    reply = api(services + "/web", "PATCH", bare("a"), APPLY)
    assert (reply.code, causes(reply)) == (422, [("Required", "fieldManager")])
