"""Watches: replay, WatchList, bookmarks, expiry, selectors."""

from __future__ import annotations

import pytest
from twisted.web.client import ResponseDone

WATCH = "/api/v1/services?watch=true"
WATCH_LIST = WATCH + (
    "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
)


@pytest.fixture
def play(clock, server, service):
    """Change the objects, then let what was sent arrive."""

    class Play:
        def apply(self, name, **more):
            server.apply(service(name, **more))
            clock.advance(0)

        def delete(self, name):
            server.delete("Service", "shop", name)
            clock.advance(0)

    return Play()


def test_headers_come_before_any_event(ask):
    reply = ask(WATCH + "&resourceVersion=1")
    assert (reply.code, reply.body.octets, reply.body.ended) == (200, b"", None)
    assert reply.header("content-type") == "application/json"


def test_events_follow_the_version_asked_for(server, ask, play):
    play.apply("old")
    since = server.revision
    play.apply("a")
    reply = ask(f"{WATCH}&resourceVersion={since}")
    play.apply("a", type="ClusterIP", externalIPs=["192.0.2.1"])
    play.delete("a")
    assert reply.brief == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(thing["metadata"]["resourceVersion"]) for _, thing in reply.events]
    assert versions == [since + 1, since + 2, since + 3] == sorted(versions)
    assert reply.events[0][1]["kind"] == "Service"


def test_an_equal_object_is_no_event(server, ask, play):
    play.apply("a")
    reply = ask(f"{WATCH}&resourceVersion={server.revision}")
    play.apply("a")
    assert reply.events == []


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
def test_without_a_version_the_objects_of_now_come_first(ask, play, version):
    play.apply("b")
    play.apply("a")
    reply = ask(WATCH + version)
    play.apply("c")
    assert sorted(reply.brief[:2]) == [("ADDED", "a"), ("ADDED", "b")]
    assert reply.brief[2:] == [("ADDED", "c")]


def test_watch_list_ends_its_first_part_with_a_bookmark(server, ask, play):
    play.apply("a")
    reply = ask(WATCH_LIST)
    play.apply("b")
    assert reply.brief == [("ADDED", "a"), ("BOOKMARK", ""), ("ADDED", "b")]
    assert reply.events[1][1] == {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "resourceVersion": str(server.revision - 1),
            "annotations": {"k8s.io/initial-events-end": "true"},
        },
        "spec": {},
        "status": {"loadBalancer": {}},
    }


def test_watch_list_without_its_end(server, ask, play):
    server.conduct.initial_events_end = False
    play.apply("a")
    assert ask(WATCH_LIST).brief == [("ADDED", "a")]


def test_watch_list_behind_a_closed_gate_is_422(server, ask):
    server.conduct.watch_list = False
    reply = ask(WATCH_LIST)
    assert (reply.code, reply.json["reason"]) == (422, "Invalid")
    assert "sendInitialEvents" in reply.json["message"]


def test_watch_list_of_an_old_etcd_is_200_and_one_error(server, ask, play):
    server.conduct.old_etcd = True
    play.apply("a")
    reply = ask(WATCH_LIST)
    assert reply.code == 200
    ((kind, status),) = reply.events
    assert (kind, status["code"], status["reason"]) == ("ERROR", 500, "InternalError")
    assert "RequestWatchProgress" in status["message"]
    assert reply.body.ended is ResponseDone


@pytest.mark.parametrize(
    "query",
    ["&sendInitialEvents=true&allowWatchBookmarks=true", "&resourceVersionMatch=NotOlderThan"],
)
def test_the_two_words_of_a_watch_list_belong_together(ask, query):
    reply = ask(WATCH + query)
    assert (reply.code, reply.json["reason"]) == (422, "Invalid")
    assert "resourceVersionMatch: Forbidden" in reply.json["message"]


def test_watch_list_from_the_future_is_504(ask):
    reply = ask(WATCH_LIST + "&resourceVersion=12345")
    assert (reply.code, reply.json["reason"]) == (504, "Timeout")


def test_too_old_a_version_is_an_error_event_and_the_end(server, ask, play):
    for name in "abc":
        play.apply(name)
    server.compact("services")
    reply = ask(WATCH + "&resourceVersion=2")
    ((kind, status),) = reply.events
    assert (reply.code, kind, status["code"], status["reason"]) == (200, "ERROR", 410, "Expired")
    assert status["message"] == f"too old resource version: 2 ({server.revision})"
    assert reply.body.ended is ResponseDone


def test_the_version_of_the_compaction_itself_still_serves(server, ask, play):
    play.apply("a")
    server.compact()
    reply = ask(f"{WATCH}&resourceVersion={server.revision}")
    play.apply("b")
    assert reply.brief == [("ADDED", "b")]


def test_too_old_a_version_as_plain_410(server, ask, play):
    server.conduct.gone_over_http = True
    play.apply("a")
    server.compact()
    assert ask(WATCH + "&resourceVersion=1").code == 410


def test_timeout_ends_the_response_cleanly(clock, ask):
    reply = ask(WATCH + "&resourceVersion=1&timeoutSeconds=30")
    clock.advance(29)
    assert reply.body.ended is None
    clock.advance(1)
    clock.advance(0)
    assert reply.body.ended is ResponseDone


def test_bookmarks_come_each_minute_and_before_the_end_if_asked_for(clock, server, ask):
    asked = ask(WATCH + "&resourceVersion=1&timeoutSeconds=75&allowWatchBookmarks=true")
    silent = ask(WATCH + "&resourceVersion=1&timeoutSeconds=75")
    clock.advance(60)
    clock.advance(0)
    assert asked.brief == [("BOOKMARK", "")]
    server.storage.revision += 7
    clock.advance(13)
    clock.advance(0)
    assert [thing["metadata"]["resourceVersion"] for _, thing in asked.events] == ["1", "8"]
    assert silent.events == []


def test_leaving_a_selector_is_deleted_and_entering_is_added(server, ask, play):
    reply = ask(WATCH + "&resourceVersion=1&labelSelector=app%3Dweb")
    play.apply("a", labels={"app": "web"})
    play.apply("a", labels={"app": "web", "tier": "1"})
    play.apply("a", labels={"app": "db"})
    play.apply("a", labels={"app": "cache"})
    play.apply("a", labels={"app": "web"})
    play.delete("a")
    assert [kind for kind, _ in reply.events] == [
        "ADDED",
        "MODIFIED",
        "DELETED",
        "ADDED",
        "DELETED",
    ]
    left = reply.events[2][1]
    assert left["metadata"]["labels"]["app"] == "web"
    assert left["metadata"]["resourceVersion"] == "4"


def test_a_short_watch_says_nothing_and_ends(server, ask, play):
    server.conduct.short = True
    play.apply("a")
    reply = ask(WATCH)
    assert (reply.code, reply.body.octets, reply.body.ended) == (200, b"", ResponseDone)


def test_open_watches_are_counted_until_the_client_leaves(clock, server, ask):
    ask(WATCH + "&resourceVersion=1")
    ask("/api/v1/pods?watch=1&timeoutSeconds=5")
    assert [len(server.open_watches(kind)) for kind in (None, "services", "Pod")] == [2, 1, 1]
    clock.advance(5)
    clock.advance(0)
    assert len(server.open_watches()) == 1
    server.disconnect()
    clock.advance(0)
    assert server.open_watches() == []
    assert clock.getDelayedCalls() == []


def test_held_events_come_in_one_piece(clock, server, ask, play):
    reply = ask(WATCH + "&resourceVersion=1")
    (watch,) = server.open_watches()
    watch.hold()
    for name in "abc":
        play.apply(name)
    assert reply.events == []
    watch.release()
    clock.advance(0)
    assert reply.brief == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


@pytest.mark.parametrize("octets", [b"\n", b"{broken\n", b'{"type":"LOUD","object":{}}\n'])
def test_anything_can_be_put_into_a_stream(clock, server, ask, octets):
    reply = ask(WATCH + "&resourceVersion=1")
    server.open_watches()[0].stream.raw(octets)
    clock.advance(0)
    assert reply.body.octets == octets
