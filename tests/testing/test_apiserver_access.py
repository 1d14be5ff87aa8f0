"""Who may do what, and what the log says about it."""

from __future__ import annotations

import pytest

LIST = "/api/v1/services"


@pytest.fixture
def guarded(server):
    server.access.add_token("secret", "system:serviceaccount:kube-system:dns")
    return server


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic secret", "Bearer", "secret"])
def test_without_a_good_token_the_answer_is_401(guarded, ask, header):
    reply = ask(LIST, **({"Authorization": header} if header else {}))
    assert (reply.code, reply.json["message"]) == (401, "Unauthorized")
    assert reply.json["reason"] == "Unauthorized"


def test_a_good_token_is_accepted_and_never_logged(guarded, ask):
    assert ask(LIST, Authorization="Bearer secret").code == 200
    assert guarded.log[-1].user == "system:serviceaccount:kube-system:dns"
    assert "secret" not in repr(guarded.log)


def test_a_token_expires_on_the_servers_clock(guarded, clock, ask):
    guarded.access.add_token("short", "someone", expires=clock.seconds() + 60)
    assert ask(LIST, Authorization="Bearer short").code == 200
    clock.advance(60)
    assert ask(LIST, Authorization="Bearer short").code == 401


def test_a_role_grants_what_it_says_and_nothing_else(guarded, ask):
    user = "system:serviceaccount:kube-system:dns"
    guarded.access.allow(user, "list watch", "services pods", "")
    ask.headers["Authorization"] = "Bearer secret"
    assert ask(LIST).code == 200
    assert ask(LIST + "?watch=1&resourceVersion=1").code == 200
    reply = ask("/apis/discovery.k8s.io/v1/endpointslices")
    assert reply.code == 403
    assert reply.json["reason"] == "Forbidden"
    assert reply.json["message"] == (
        f'endpointslices.discovery.k8s.io is forbidden: User "{user}" cannot list resource '
        '"endpointslices" in API group "discovery.k8s.io" at the cluster scope'
    )
    reply = ask("/api/v1/namespaces/shop/services/web")
    assert reply.json["message"] == (
        f'services "web" is forbidden: User "{user}" cannot get resource "services" in API group '
        '"" in the namespace "shop"'
    )
    assert reply.json["details"] == {"name": "web", "kind": "services"}
    assert ask("/apis").code == 200


def test_rights_can_be_taken_away_and_limited_to_a_namespace(guarded, ask):
    user = "system:serviceaccount:kube-system:dns"
    guarded.access.deny_all(user)
    ask.headers["Authorization"] = "Bearer secret"
    assert ask(LIST).code == 403
    guarded.access.allow(user, "*", "*", "*", namespace="shop")
    assert ask(LIST).code == 403
    assert ask("/api/v1/namespaces/shop/services").code == 200


def test_the_log_says_what_was_asked_and_what_was_sent(server, ask):
    ask(LIST + "?limit=500&labelSelector=a", User_Agent="me")
    seen = server.log[-1]
    assert (seen.verb, seen.resource, seen.code, seen.agent) == ("list", "services", 200, "me")
    assert seen.query == {"limit": "500", "labelSelector": "a"}
    assert seen.sent > 0
    assert seen.ended_at == seen.at
    assert server.log.of("list") == [seen]
    assert server.log.of("watch", "services") == []


def test_only_json_is_spoken(ask):
    assert ask(LIST, Accept="application/vnd.kubernetes.protobuf").code == 406
    both = "application/vnd.kubernetes.protobuf, application/json"
    assert ask(LIST, Accept=both).header("content-type") == "application/json"


def test_health_needs_no_credentials(guarded, ask):
    assert ask("/healthz").body.octets == b"ok"


def test_after_a_restart_roles_may_be_read_late(guarded, clock, ask):
    guarded.access.allow("system:serviceaccount:kube-system:dns", "list", "services")
    guarded.crash()
    guarded.accept(roles_after=3)
    assert ask(LIST, Authorization="Bearer secret").code == 403
    clock.advance(3)
    assert ask(LIST, Authorization="Bearer secret").code == 200
