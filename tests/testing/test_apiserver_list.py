"""Lists: whole, by version, by page, by selector."""

from __future__ import annotations

import gzip

import pytest


def names(reply):
    return [item["metadata"]["name"] for item in reply.json["items"]]


@pytest.fixture
def shop(server, service):
    for name in ("a", "b", "c", "d", "e"):
        server.apply(service(name, labels={"app": name, "odd": "yes" if name in "ace" else "no"}))
    return server


def test_items_have_no_kind_and_the_list_has_the_newest_version(shop, ask):
    reply = ask("/api/v1/services")
    assert reply.code == 200
    assert reply.json["kind"] == "ServiceList"
    assert reply.json["metadata"] == {"resourceVersion": str(shop.revision)}
    assert all(item.keys().isdisjoint(("kind", "apiVersion")) for item in reply.json["items"])
    assert all("managedFields" in item["metadata"] for item in reply.json["items"])
    assert reply.body.octets.endswith(b"}\n")


def test_namespace_in_the_path_restricts(shop, ask, service):
    shop.apply(service("z", namespace="other"))
    assert names(ask("/api/v1/namespaces/other/services")) == ["z"]
    assert names(ask("/api/v1/services"))[0] == "z"


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("app=a", "a"),
        ("app==a", "a"),
        ("odd!=yes", "bd"),
        ("app in (a,b)", "ab"),
        ("app notin (a, b),odd", "cde"),
        ("!app", ""),
        ("app,odd=no", "bd"),
        ("missing notin (x)", "abcde"),
    ],
)
def test_label_selectors(shop, ask, selector, found):
    from urllib.parse import quote

    assert names(ask("/api/v1/services?labelSelector=" + quote(selector))) == list(found)


def test_field_selectors_of_pods(server, ask):
    for name, phase in (("up", "Running"), ("done", "Succeeded"), ("dead", "Failed")):
        metadata = {"name": name, "namespace": "shop"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase}}
        server.apply(pod)
    wanted = "status.phase!%3DSucceeded%2Cstatus.phase!%3DFailed"
    assert names(ask("/api/v1/pods?fieldSelector=" + wanted)) == ["up"]
    assert names(ask("/api/v1/pods?fieldSelector=metadata.name%3Ddead")) == ["dead"]


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("labelSelector=a%20b", 400, "BadRequest"),
        ("fieldSelector=spec.colour%3Dred", 400, "BadRequest"),
        ("limit=many", 400, "BadRequest"),
        ("resourceVersion=abc", 400, "BadRequest"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersionMatch=Newer&resourceVersion=1", 422, "Invalid"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid"),
        ("sendInitialEvents=true", 422, "Invalid"),
        ("continue=garbage", 400, "BadRequest"),
        ("resourceVersion=99999", 504, "Timeout"),
    ],
)
def test_contradictions_are_refused_with_a_status(shop, ask, query, code, reason):
    reply = ask("/api/v1/services?" + query)
    assert (reply.code, reply.json["kind"], reply.json["reason"]) == (code, "Status", reason)
    assert reply.json["code"] == code


def test_version_from_the_future_names_its_cause_and_when_to_retry(shop, ask):
    reply = ask("/api/v1/services?resourceVersion=99999")
    current = shop.revision
    assert reply.header("retry-after") == "1"
    assert reply.json["message"] == (
        f"Timeout: Too large resource version: 99999, current: {current}"
    )
    assert reply.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert reply.json["details"]["retryAfterSeconds"] == 1


def test_any_version_ignores_the_limit(shop, ask):
    reply = ask("/api/v1/services?limit=2&resourceVersion=0")
    assert len(reply.json["items"]) == 5
    assert "continue" not in reply.json["metadata"]


def test_pages_show_one_moment(shop, ask, service):
    first = ask("/api/v1/services?limit=2")
    begun = first.json["metadata"]["resourceVersion"]
    assert (names(first), first.json["metadata"]["remainingItemCount"]) == (["a", "b"], 3)
    shop.delete("Service", "shop", "d")
    shop.apply(service("cc"))
    second = ask("/api/v1/services?limit=2&continue=" + first.json["metadata"]["continue"])
    third = ask("/api/v1/services?limit=2&continue=" + second.json["metadata"]["continue"])
    assert (names(second), names(third)) == (["c", "d"], ["e"])
    assert second.json["metadata"]["resourceVersion"] == begun
    assert "continue" not in third.json["metadata"]


def test_a_continue_token_refuses_a_version_and_another_selector(shop, ask):
    token = ask("/api/v1/services?limit=2").json["metadata"]["continue"]
    assert ask(f"/api/v1/services?continue={token}&resourceVersion=5").code == 400
    assert ask(f"/api/v1/services?continue={token}&labelSelector=app").code == 400


def test_an_expired_token_is_410_and_offers_the_inconsistent_rest(shop, ask, service):
    token = ask("/api/v1/services?limit=2").json["metadata"]["continue"]
    shop.apply(service("f"))
    shop.compact()
    reply = ask("/api/v1/services?limit=2&continue=" + token)
    assert (reply.code, reply.json["reason"]) == (410, "Expired")
    rest = ask("/api/v1/services?continue=" + reply.json["metadata"]["continue"])
    assert names(rest) == ["c", "d", "e", "f"]


def test_exact_versions_show_the_past_until_it_is_compacted(shop, ask, service):
    then = shop.revision
    shop.delete("Service", "shop", "a")
    shop.apply(service("b", labels={"app": "changed"}))
    shop.apply(service("new"))
    past = f"/api/v1/services?resourceVersion={then}&resourceVersionMatch=Exact"
    assert names(ask(past)) == list("abcde")
    assert ask(past).json["items"][1]["metadata"]["labels"]["app"] == "b"
    assert names(ask(f"/api/v1/services?resourceVersion={then}")) == ["b", "c", "d", "e", "new"]
    shop.compact()
    assert ask(past).code == 410


def test_large_lists_are_compressed_for_who_asks(server, ask, service):
    for number in range(400):
        server.apply(service(f"s{number:04}"))
    plain = ask("/api/v1/services")
    packed = ask("/api/v1/services", Accept_Encoding="gzip")
    assert plain.header("content-encoding") is None
    assert packed.header("content-encoding") == "gzip"
    assert gzip.decompress(packed.body.octets) == plain.body.octets
    assert (
        ask("/api/v1/services?limit=3", Accept_Encoding="gzip").header("content-encoding") is None
    )


def test_unknown_kinds_are_kept_as_they_are(server, ask):
    thing = {
        "apiVersion": "acme.io/v1",
        "kind": "Gadget",
        "metadata": {"name": "g", "namespace": "x"},
    }
    server.apply(thing | {"spec": {"odd": [1, None]}})
    reply = ask("/apis/acme.io/v1/gadgets")
    assert (names(reply), reply.json["items"][0]["spec"]) == (["g"], {"odd": [1, None]})


@pytest.mark.parametrize(
    "path", ["/api/v1/gadgets", "/api/v2/pods", "/apis/apps/v1beta1/deployments"]
)
def test_what_is_not_served_is_404(ask, path):
    assert (ask(path).code, ask(path).json["reason"]) == (404, "NotFound")


@pytest.mark.parametrize("path", ["/apis/none.io/v1/things", "/apis/x", "/nothing"])
def test_a_group_that_is_not_served_is_no_page_at_all(ask, path):
    reply = ask(path)
    assert (reply.code, reply.body.octets) == (404, b"404 page not found\n")
