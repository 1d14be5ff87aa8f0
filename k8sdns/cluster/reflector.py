"""Keeps one kind of object equal to the API server's, as a state machine without any I/O.

Owns: which request comes next and at which resourceVersion, what each event changes, pauses.
Refuses to know connections, bytes, threads and the store: events come in as methods in the past
tense, and each returns the actions it asks for. ``python -m k8sdns.cluster.reflector`` prints the
rules, from the table that runs (`k8sdns.cluster.reflection`).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from k8sdns.cluster.model import Thing
from k8sdns.cluster.pauses import Pauses
from k8sdns.cluster.reflection import (
    TABLE,
    Abandon,
    Action,
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
from k8sdns.cluster.statuses import Status

PAGE_LIMIT = 500
WATCH_SECONDS = (300.0, 600.0)
WATCH_GRACE = 30.0
SOON = 1.0
MAX_TOLD_TO_WAIT = 10
LONGEST_TOLD_WAIT = 120.0
"""Seconds of a Retry-After that are believed."""
STREAM_AGAIN_AFTER = 3600.0
"""Seconds after which a server that failed at WatchList is tried with it again (upgrades)."""
SILENCE = 15.0
"""Seconds without an octet after which a listing, of either kind, is given up."""
WATCH_SILENCE = 150.0
"""Seconds without an octet after which a watch is asked for again, from where it stands.

Bookmarks come every one to two minutes where nothing changes. Where a connection is half open
behind a proxy, keep-alive probes are answered and nothing else tells.
"""
DENIED_FOR = 5.0
"""Seconds after which a 403 is taken for the role's fault.

An API server that has just started answers 403 for some seconds: it serves before it has read the
roles.
"""
LIST_WITHIN, STREAM_WITHIN = 300.0, 120.0
"""Seconds that a listing may take in all: one octet a second is no way to list."""


class Reflector:
    """One kind's reflector; `now` gives monotonic seconds, `uniform` random numbers.

    `vouched_at` is when an event, a bookmark or a list last said which version we are at.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        watch_list: bool = True,
    ) -> None:
        self.state = State.IDLE
        self.resource_version = ""
        self.synced = False
        self.vouched_at: float | None = None
        self._now = now
        self._uniform = uniform
        self._pauses = Pauses(now, uniform)
        self._stream_from = 0.0 if watch_list else float("inf")
        self._unavailable = False
        self._request = Request("list", ())
        self._page = 1
        self._asked_at = 0.0
        self._watch_for = 0.0
        self._events_seen = 0
        self._told_to_wait = 0
        self._asked_again = False
        self._lost_for: int | None = None
        self._denied_since: dict[str, float] = {}
        self._forbidden: set[str] = set()
        self._stage = State.IDLE
        self._then: Callable[[], None] = self._relist
        self._trouble = Status()
        self._retry_after = 0.0
        self._change: Action | None = None
        self._version = ""
        self._continue = ""
        self._actions: list[Action] = []

    # -- what happened ------------------------------------------------------------------------

    def started(self) -> list[Action]:
        """The source was started."""
        return self._happened(Event.STARTED)

    def stopped(self) -> list[Action]:
        """The source was stopped; nothing comes after this."""
        self.state = State.STOPPED
        return [Abandon()]

    def waited(self) -> list[Action]:
        """The pause that was asked for is over."""
        return self._happened(Event.WAITED)

    def opened(self) -> list[Action]:
        """The request was answered 200; its body follows."""
        return self._happened(Event.OPENED)

    def upserted(self, thing: Thing, resource_version: str) -> list[Action]:
        """ADDED or MODIFIED came, with an object that can be read."""
        return self._changed(Upsert(thing), resource_version)

    def deleted(self, namespace: str, name: str, resource_version: str) -> list[Action]:
        """DELETED came; the version is that of the deletion."""
        return self._changed(Delete(namespace, name), resource_version)

    def passed_over(self, namespace: str, name: str, resource_version: str) -> list[Action]:
        """ADDED or MODIFIED came, of an object that says nothing or cannot be read."""
        return self._changed(Keep(namespace, name), resource_version)

    def bookmarked(self, resource_version: str, *, ends_initial_events: bool) -> list[Action]:
        """BOOKMARK came."""
        self._events_seen += 1
        if self._is_older(resource_version):
            return self._happened(Event.WENT_BACK)
        self._version = resource_version
        is_end = ends_initial_events
        return self._happened(Event.INITIAL_EVENTS_ENDED if is_end else Event.BOOKMARKED)

    def listed(self, thing: Thing) -> list[Action]:
        """One item of a list came."""
        self._change = Upsert(thing)
        return self._happened(Event.LISTED)

    def listed_unread(self, namespace: str, name: str) -> list[Action]:
        """One item of a list came that says nothing or cannot be read."""
        self._change = Keep(namespace, name)
        return self._happened(Event.LISTED)

    def page_ended(self, resource_version: str, continue_token: str) -> list[Action]:
        """A page of a list is whole; the first page's version is the list's."""
        if self._page == 1:
            self._version = resource_version
        self._continue = continue_token
        return self._happened(Event.PAGE_ENDED if continue_token else Event.LIST_ENDED)

    def ended(self, why: str = "the stream ended") -> list[Action]:
        """The body ended, for whatever reason, before anything else was said about it."""
        self._trouble = Status(message=why)
        if self._now() - self._asked_at >= SOON:
            return self._happened(Event.ENDED)
        return self._happened(Event.ENDED_SOON if self._events_seen else Event.ENDED_AT_ONCE)

    def overdue(self) -> list[Action]:
        """`overdue_at` has passed; the stream was dropped."""
        self._trouble = Status(message="the API server fell silent")
        return self._happened(Event.OVERDUE)

    def unreachable(self, why: str) -> list[Action]:
        """There was no HTTP answer to the request, or it could not be made."""
        self._trouble = Status(message=why)
        return self._happened(Event.UNREACHABLE)

    def refused(self, status: Status, retry_after: float | None = None) -> list[Action]:
        """The answer was not 200; `retry_after` is the header's, in seconds."""
        self._trouble = status
        if retry_after is None:
            retry_after = status.retry_after
        return self._happened(self._kind_of_refusal(status, retry_after))

    def error_received(self, status: Status) -> list[Action]:
        """An ERROR event came in a stream; nothing useful can follow it."""
        self._trouble = status
        return self._happened(self._kind_of_failure(status))

    def doubted(self) -> list[Action]:
        """Somebody found that we are not equal to the server: list anew."""
        return self._happened(Event.DOUBTED)

    # -- what others may know -----------------------------------------------------------------

    def is_ahead_of(self, resource_version: str) -> bool:
        """Tell whether a list of that version is older than what we have seen."""
        return self.state is State.WATCHING and self._is_older(resource_version)

    def overdue_at(self, heard_at: float) -> float:
        """Return when the open request is overdue, given when its last octet came."""
        if self.state is State.WATCHING:
            return min(self._asked_at + self._watch_for + WATCH_GRACE, heard_at + WATCH_SILENCE)
        within = STREAM_WITHIN if self.state is State.STREAMING else LIST_WITHIN
        return min(self._asked_at + within, heard_at + SILENCE)

    # -- the machine --------------------------------------------------------------------------

    def _happened(self, event: Event) -> list[Action]:
        rule = TABLE.get((self.state, event))
        if rule is None:
            return []
        if rule.then is not None:
            self.state = rule.then
        for step in rule.steps:
            _STEPS[step](self)
        actions, self._actions = self._actions, []
        return actions

    def _changed(self, change: Action, resource_version: str) -> list[Action]:
        self._events_seen += 1
        is_older = self._is_older(resource_version)
        if is_older and type(change) is not Delete:
            return self._happened(Event.WENT_BACK)
        self._change = change
        # A deletion may come with the version of what was deleted.
        self._version = "" if is_older else resource_version
        return self._happened(Event.CHANGED)

    def _is_older(self, resource_version: str) -> bool:
        """Tell whether a version in a watch is below ours (they are numbers: KEP-5504)."""
        ours = self.resource_version
        if self.state is not State.WATCHING or len(resource_version) > len(ours):
            return False
        if not (resource_version.isdecimal() and ours.isdecimal()):
            return False
        return int(resource_version) < int(ours)

    def _kind_of_refusal(self, status: Status, retry_after: float | None) -> Event:
        if status.code == 401 and not self._asked_again:
            return Event.UNAUTHORIZED
        failure = self._kind_of_failure(status)
        may_wait = failure in (Event.THROTTLED, Event.FAILED) and retry_after is not None
        if may_wait and (status.code == 429 or (status.code or 0) >= 500):
            self._told_to_wait += 1
            self._retry_after = min(max(retry_after or 0.0, 0.0), LONGEST_TOLD_WAIT)
            if self._told_to_wait <= MAX_TOLD_TO_WAIT:
                return Event.TOLD_TO_WAIT
        return failure

    def _kind_of_failure(self, status: Status) -> Event:
        if status.is_from_the_future and not self._unavailable:
            return Event.FROM_THE_FUTURE
        if status.is_expired:
            return self._kind_of_expiry()
        if status.code == 429:
            return Event.THROTTLED
        return Event.DENIED if status.code in (401, 403) else Event.FAILED

    def _kind_of_expiry(self) -> Event:
        if self.state is State.LISTING:
            if self._page > 1:
                return Event.PAGE_EXPIRED
            if not _version_named(self._request):
                return Event.FAILED
        return Event.EXPIRED

    # -- steps, by the names in the table -----------------------------------------------------

    def _relist(self) -> None:
        if self._now() < self._stream_from:
            self.state = State.LISTING
            self._list()
        else:
            self.state = State.STREAMING
            self._stream()

    def _stream(self) -> None:
        self._actions.append(Begin())
        self._ask(
            "watch",
            ("watch", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
            ("resourceVersion", "" if self._unavailable else self.resource_version),
            *self._watch_terms(),
        )

    def _list(self) -> None:
        version = "" if self._unavailable else self.resource_version or "0"
        self._page = 1
        self._actions.append(Begin())
        # A named version is answered from the watch cache only without a limit (client-go).
        limit = (("limit", str(PAGE_LIMIT)),) if version in ("", "0") else ()
        self._ask("list", ("resourceVersion", version), *limit)

    def _list_unpaged(self) -> None:
        self._page = 1
        version = "" if self._unavailable else self.resource_version or "0"
        self._actions.append(Begin())
        self._ask("list", ("resourceVersion", version))

    def _ask_next_page(self) -> None:
        self._page += 1
        # Servers refuse a resourceVersion beside a continue token, which holds its own.
        self._ask("list", ("limit", str(PAGE_LIMIT)), ("continue", self._continue))

    def _watch(self) -> None:
        self._ask(
            "watch",
            ("watch", "true"),
            ("resourceVersion", self.resource_version),
            *self._watch_terms(),
        )

    def _watch_terms(self) -> tuple[tuple[str, str], ...]:
        self._watch_for = float(int(self._uniform(*WATCH_SECONDS)))
        return (("allowWatchBookmarks", "true"), ("timeoutSeconds", str(int(self._watch_for))))

    def _ask(self, verb: str, *parameters: tuple[str, str]) -> None:
        self._asked_again = False
        self._request = Request(verb, parameters)
        self._send()

    def _send(self) -> None:
        self._stage = self.state
        self._asked_at = self._now()
        self._events_seen = 0
        self._actions.append(self._request)

    def _ask_again(self) -> None:
        self._asked_again = True
        self._send()

    def _note_opened(self) -> None:
        self._told_to_wait = 0
        self._denied_since.pop(self._request.verb, None)
        self._forbidden.discard(self._request.verb)
        self._asked_at = self._now()

    def _apply(self) -> None:
        if self._change is not None:
            self._actions.append(self._change)

    def _advance(self) -> None:
        if self._version:
            self.resource_version = self._version
            self.vouched_at = self._now()

    def _finish(self) -> None:
        self.synced = True
        self._unavailable = False
        self._actions.append(Finish())
        self._regain()

    def _regain(self) -> None:
        if self._lost_for is not None:
            self._lost_for = None
            self._actions.append(Regain())

    def _lose(self) -> None:
        code = self._trouble.code or 0
        if code != 403:
            # Whatever answers 403 after this may be a server that has started anew.
            self._denied_since.clear()
        if self._lost_for != code:
            self._lost_for = code
            self._actions.append(Lose(self._request.verb, code, str(self._trouble)))

    def _forbid(self) -> None:
        if self._trouble.code != 403:
            return
        verb, now = self._request.verb, self._now()
        lasts = now - self._denied_since.setdefault(verb, now)
        if lasts >= DENIED_FOR and verb not in self._forbidden:
            self._forbidden.add(verb)
            self._actions.append(Forbid(verb, str(self._trouble)))

    def _give_up_streaming(self) -> None:
        self._stream_from = self._now() + STREAM_AGAIN_AFTER

    def _forget_version(self) -> None:
        self._unavailable = True

    def _back_off_then_relist(self) -> None:
        self._pause(self._pauses.next(), self._relist)

    def _back_off_then_watch(self) -> None:
        self._pause(self._pauses.next(), self._resume_watch)

    def _wait_as_told(self) -> None:
        self._pause(self._retry_after, self._resume_request)

    def _pause(self, seconds: float, resume: Callable[[], None]) -> None:
        self._then = resume
        self._actions.append(Wait(seconds))

    def _resume_watch(self) -> None:
        self.state = State.WATCHING
        self._watch()

    def _resume_request(self) -> None:
        self.state = self._stage
        self._send()

    def _resume(self) -> None:
        self._then()


def _version_named(request: Request) -> bool:
    return dict(request.parameters).get("resourceVersion", "") != ""


_STEPS: dict[str, Callable[[Reflector], None]] = {
    step: getattr(Reflector, f"_{step}") for rule in TABLE.values() for step in rule.steps
}

if __name__ == "__main__":
    print(render_table())  # noqa: T201 - a program that prints
