"""The reflector's rules, one conversation a case, and that its table is complete and printable."""

from __future__ import annotations

import subprocess
import sys

import pytest

from k8sdns.cluster.model import Namespace
from k8sdns.cluster.reflection import (
    TABLE,
    Begin,
    Delete,
    Event,
    Finish,
    Forbid,
    Keep,
    Lose,
    Regain,
    Request,
    State,
    Upsert,
    Wait,
    render_table,
)
from k8sdns.cluster.reflector import DENIED_FOR, MAX_TOLD_TO_WAIT, STREAM_AGAIN_AFTER, Reflector
from k8sdns.cluster.statuses import Cause, Details, Status

A, B = Namespace("a", "5"), Namespace("b", "6")
EXPIRED = Status(code=410, reason="Expired")
AHEAD = Status(
    code=504,
    reason="Timeout",
    details=Details(causes=[Cause("ResourceVersionTooLarge")], retry_after_seconds=1),
)


class Bench:
    """A reflector with a clock to turn and no randomness."""

    def __init__(self, *, watch_list=True):
        self.now = 1000.0
        self.reflector = Reflector(
            lambda: self.now, uniform=lambda low, high: low, watch_list=watch_list
        )

    def watching(self):
        """Bring a listing reflector to WATCHING at version 10, open."""
        assert parameters(self.reflector.started())["resourceVersion"] == "0"
        self.reflector.opened()
        self.reflector.listed(A)
        self.reflector.page_ended("10", "")
        self.reflector.opened()
        assert self.reflector.state is State.WATCHING
        self.now += 5.0
        return self.reflector

    def after_pause(self, actions):
        """Let the pause at the end of `actions` pass; return what is asked then."""
        (*_, wait) = actions
        assert isinstance(wait, Wait)
        self.now += wait.seconds
        return self.reflector.waited()


def parameters(actions):
    (request,) = [action for action in actions if isinstance(action, Request)]
    return {"verb": request.verb, **dict(request.parameters)}


def test_a_watch_list_syncs_at_its_closing_bookmark_and_not_before():
    bench = Bench()
    asked = parameters(bench.reflector.started())
    assert asked["verb"] == "watch"
    assert asked["sendInitialEvents"] == "true"
    assert asked["resourceVersionMatch"] == "NotOlderThan"
    assert asked["resourceVersion"] == ""
    bench.reflector.opened()
    assert bench.reflector.upserted(A, "5") == [Upsert(A)]
    assert bench.reflector.bookmarked("7", ends_initial_events=False) == []
    assert not bench.reflector.synced
    assert bench.reflector.resource_version == ""
    assert bench.reflector.bookmarked("9", ends_initial_events=True) == [Finish()]
    assert bench.reflector.synced
    assert bench.reflector.resource_version == "9"


def test_synthetic_events_do_not_move_the_version():
    bench = Bench()
    bench.reflector.started()
    bench.reflector.opened()
    bench.reflector.upserted(A, "5")
    assert parameters(bench.reflector.ended())["resourceVersion"] == "0"


@pytest.mark.parametrize(
    "fails",
    [
        lambda r: r.refused(Status(code=422, reason="Invalid")),
        lambda r: r.refused(Status(code=400)),
        lambda r: r.refused(Status(code=404)),
        lambda r: r.refused(Status(code=502)),
        lambda r: r.error_received(Status(code=500, reason="InternalError")),
        lambda r: r.ended(),
        lambda r: r.overdue(),
        lambda r: r.refused(Status(message="a line is longer than allowed")),
    ],
    ids=["422", "400", "404", "502", "error-500", "ended", "silent", "no-stream"],
)
def test_any_failure_of_a_watch_list_leads_to_list_and_is_remembered(fails):
    bench = Bench()
    bench.reflector.started()
    asked = parameters(fails(bench.reflector))
    assert asked["verb"] == "list"
    again = parameters(bench.after_pause(bench.reflector.refused(Status(code=500))))
    assert again["verb"] == "list"


def test_a_server_that_failed_at_watch_list_is_tried_again_much_later():
    bench = Bench()
    bench.reflector.started()
    bench.reflector.refused(Status(code=422))
    bench.now += STREAM_AGAIN_AFTER
    asked = parameters(bench.after_pause(bench.reflector.refused(Status(code=500))))
    assert asked["sendInitialEvents"] == "true"


@pytest.mark.parametrize(
    "fails",
    [
        lambda r: r.unreachable("refused"),
        lambda r: r.refused(Status(code=429)),
        lambda r: r.refused(Status(code=403)),
    ],
    ids=["unreachable", "429", "403"],
)
def test_a_watch_list_that_was_not_judged_is_tried_again(fails):
    bench = Bench()
    bench.reflector.started()
    asked = parameters(bench.after_pause(fails(bench.reflector)))
    assert asked["sendInitialEvents"] == "true"


def test_pages_are_joined_and_only_the_last_one_finishes():
    bench = Bench(watch_list=False)
    first = bench.reflector.started()
    assert first[0] == Begin()
    assert parameters(first) == {"verb": "list", "resourceVersion": "0", "limit": "500"}
    bench.reflector.opened()
    assert bench.reflector.listed(A) == [Upsert(A)]
    second = bench.reflector.page_ended("10", "next")
    assert parameters(second) == {"verb": "list", "limit": "500", "continue": "next"}
    bench.reflector.opened()
    assert bench.reflector.listed_unread("", "b") == [Keep("", "b")]
    done = bench.reflector.page_ended("11", "")
    assert done[0] == Finish()
    asked = parameters(done)
    assert asked["resourceVersion"] == "10"
    assert asked["allowWatchBookmarks"] == "true"
    assert asked["timeoutSeconds"] == "300"


def test_an_expired_page_leads_to_one_unpaged_list_at_the_first_version():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    bench.reflector.page_ended("10", "next")
    again = bench.reflector.refused(EXPIRED)
    assert again[0] == Begin()
    assert parameters(again) == {"verb": "list", "resourceVersion": "0"}


def test_events_move_the_version_and_a_clean_end_watches_on_at_once():
    reflector = Bench(watch_list=False).watching()
    assert reflector.upserted(B, "11") == [Upsert(B)]
    assert reflector.deleted("", "a", "12") == [Delete("", "a")]
    assert reflector.passed_over("", "x", "13") == [Keep("", "x")]
    reflector.bookmarked("20", ends_initial_events=False)
    assert parameters(reflector.ended())["resourceVersion"] == "20"


def test_a_watch_that_ends_at_once_without_events_is_relisted_after_a_pause():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    reflector.ended()
    reflector.opened()
    asked = bench.after_pause(reflector.ended())
    assert parameters(asked) == {"verb": "list", "resourceVersion": "10"}


def test_a_watch_that_ends_soon_after_an_event_pauses_before_it_goes_on():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    reflector.ended()
    reflector.opened()
    reflector.upserted(B, "11")
    asked = parameters(bench.after_pause(reflector.ended()))
    assert asked["verb"] == "watch"
    assert asked["resourceVersion"] == "11"


@pytest.mark.parametrize("how", ["error_received", "refused"])
def test_gone_relists_at_the_last_version_and_then_without_one(how):
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    asked = bench.after_pause(getattr(reflector, how)(EXPIRED))
    assert parameters(asked) == {"verb": "list", "resourceVersion": "10"}
    asked = reflector.refused(EXPIRED)
    assert parameters(asked) == {"verb": "list", "resourceVersion": "", "limit": "500"}
    assert isinstance(reflector.refused(EXPIRED)[-1], Wait)


def test_a_version_ahead_of_the_server_is_forgotten():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    asked = parameters(bench.after_pause(reflector.refused(AHEAD, 1.0)))
    assert asked["resourceVersion"] == ""
    reflector.opened()
    reflector.page_ended("3", "")
    assert reflector.resource_version == "3"


@pytest.mark.parametrize(
    "fails",
    [
        lambda r: r.unreachable("refused"),
        lambda r: r.refused(Status(code=429)),
        lambda r: r.error_received(Status(code=429)),
    ],
    ids=["unreachable", "429", "error-429"],
)
def test_a_watch_is_tried_again_at_its_version_without_a_relist(fails):
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    lost, wait = fails(reflector)
    assert isinstance(lost, Lose)
    asked = parameters(bench.after_pause([wait]))
    assert (asked["verb"], asked["resourceVersion"]) == ("watch", "10")
    assert reflector.opened() == [Regain()]


def test_retry_after_is_obeyed_for_the_same_request_but_not_for_ever():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    for _ in range(MAX_TOLD_TO_WAIT):
        actions = reflector.refused(Status(code=503), 7.0)
        assert actions[-1] == Wait(7.0)
        assert parameters(bench.after_pause(actions))["verb"] == "watch"
    actions = reflector.refused(Status(code=503), 7.0)
    assert parameters(bench.after_pause(actions))["verb"] == "list"


def test_an_absurd_retry_after_is_not_believed():
    reflector = Bench(watch_list=False).watching()
    assert reflector.refused(Status(code=429), 1e9)[-1].seconds <= 120.0


def test_401_is_asked_once_more_at_once_and_then_after_a_pause():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    unauthorized = Status(code=401)
    assert parameters(reflector.refused(unauthorized))["verb"] == "watch"
    lost, wait = reflector.refused(unauthorized)
    assert lost.code == 401
    assert isinstance(wait, Wait)


def test_403_is_told_once_however_often_it_comes():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    told = []
    for _ in range(5):
        actions = bench.reflector.refused(Status(code=403, message="forbidden"))
        told += [action for action in actions if isinstance(action, Lose)]
        bench.after_pause(actions)
    assert [(lost.verb, lost.code) for lost in told] == [("list", 403)]


FORBIDDEN = Status(code=403, message="services is forbidden")


def denied_for(bench, seconds):
    """Let every request be denied for so long; return the verbs that were said to be missing."""
    until, said = bench.now + seconds, []
    while True:
        actions = bench.reflector.refused(FORBIDDEN)
        said += [action.verb for action in actions if isinstance(action, Forbid)]
        bench.after_pause(actions)
        if bench.now > until:
            return said


@pytest.mark.parametrize(("seconds", "said"), [(DENIED_FOR - 0.1, []), (60.0, ["list"])])
def test_a_role_is_blamed_when_403_stays_and_not_while_a_server_starts(seconds, said):
    bench = Bench(watch_list=False)
    bench.reflector.started()
    assert denied_for(bench, seconds) == said


def test_a_role_that_is_mended_and_breaks_again_is_blamed_again():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    assert denied_for(bench, 30.0) == ["list"]
    bench.reflector.opened()
    bench.after_pause(bench.reflector.ended("cut"))
    assert denied_for(bench, DENIED_FOR - 0.1) == []
    assert denied_for(bench, 60.0) == ["list"]


def test_an_outage_between_two_denials_means_another_start():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    bench.after_pause(bench.reflector.refused(FORBIDDEN))
    bench.now += 60.0
    bench.after_pause(bench.reflector.unreachable("refused"))
    actions = bench.reflector.refused(FORBIDDEN)
    assert not [action for action in actions if isinstance(action, Forbid)]
    bench.after_pause(actions)
    assert denied_for(bench, 60.0) == ["list"]


def test_credentials_that_do_not_count_are_no_matter_of_the_role():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    for _ in range(12):
        actions = bench.reflector.refused(Status(code=401))
        assert not [action for action in actions if isinstance(action, Forbid)]
        if isinstance(actions[-1], Wait):
            bench.after_pause(actions)


def test_pauses_grow_to_a_limit_and_start_small_again_after_a_calm():
    bench = Bench(watch_list=False)
    bench.reflector.started()
    pauses = []
    for _ in range(8):
        actions = bench.reflector.unreachable("refused")
        pauses.append(actions[-1].seconds)
        bench.after_pause(actions)
    assert pauses == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    bench.now += 121.0
    assert bench.reflector.unreachable("refused")[-1].seconds == 0.8


def test_silence_ends_a_listing_early_and_a_watch_when_bookmarks_are_missing():
    bench = Bench()
    bench.reflector.started()
    bench.reflector.opened()
    assert bench.reflector.overdue_at(bench.now) == bench.now + 15.0
    bench.reflector.bookmarked("9", ends_initial_events=True)
    assert bench.reflector.overdue_at(bench.now) == bench.now + 150.0
    assert bench.reflector.overdue_at(bench.now + 299.0) == bench.now + 330.0
    assert parameters(bench.reflector.overdue())["resourceVersion"] == "9"


def test_late_events_change_nothing():
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    reflector.unreachable("refused")
    assert reflector.upserted(B, "11") == []
    assert reflector.ended() == []
    reflector.stopped()
    assert reflector.waited() == []
    assert reflector.started() == []


@pytest.mark.parametrize(
    "says",
    [
        lambda r: r.bookmarked("9", ends_initial_events=False),
        lambda r: r.upserted(B, "9"),
    ],
)
def test_a_server_that_went_back_in_time_is_listed_anew(says):
    bench = Bench(watch_list=False)
    reflector = bench.watching()
    asked = parameters(bench.after_pause(says(reflector)))
    assert (asked["verb"], asked["resourceVersion"]) == ("list", "")


def test_versions_that_are_no_numbers_are_not_compared():
    reflector = Bench(watch_list=False).watching()
    reflector.bookmarked("x", ends_initial_events=False)
    assert reflector.resource_version == "x"
    reflector.bookmarked("5", ends_initial_events=False)
    assert reflector.resource_version == "5"


OPEN = (State.STREAMING, State.LISTING, State.WATCHING)
TROUBLE = [event for event in Event if event.name not in ("STARTED", "WAITED")]
ONLY_LISTING = {Event.LISTED, Event.PAGE_ENDED, Event.LIST_ENDED, Event.PAGE_EXPIRED}
ONLY_WATCHES = {Event.WENT_BACK}
ONLY_STREAMS = {Event.CHANGED, Event.BOOKMARKED, Event.INITIAL_EVENTS_ENDED}


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("event", TROUBLE)
def test_every_event_has_a_rule_wherever_it_can_happen(state, event):
    can_happen = event not in (ONLY_STREAMS if state is State.LISTING else ONLY_LISTING)
    can_happen &= state is State.WATCHING or event not in ONLY_WATCHES
    assert ((state, event) in TABLE) is can_happen


def test_every_way_out_of_an_open_request_asks_for_another_or_pauses():
    for (state, event), rule in TABLE.items():
        if state in OPEN and rule.then is State.WAITING:
            assert rule.steps[-1].startswith(("back_off", "wait")), (state, event)


def test_the_table_can_be_printed():
    command = [sys.executable, "-m", "k8sdns.cluster.reflector"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == render_table().strip()
    assert "STREAMING" in printed
