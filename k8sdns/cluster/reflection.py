"""The vocabulary of a reflector: its states, what can happen to it, what it asks for, its rules.

Owns: the transition table, which is both what runs and what `python -m k8sdns.cluster.reflector`
prints. Refuses to know connections, clocks and JSON. The rules are those of client-go's reflector
(tools/cache) with two more: whatever goes wrong with a WatchList before it is complete leads to
LIST, because some servers never complete one; and a version that goes back means that the server
lost its history, which a watch from our version would hide until it has caught up.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from k8sdns.cluster.model import Thing


class State(enum.Enum):
    """What the reflector is doing; the value says it for people."""

    IDLE = "not started"
    STREAMING = "WatchList, before the bookmark that ends the initial events"
    LISTING = "LIST, page by page"
    WATCHING = "following changes, by either kind of watch"
    WAITING = "pausing before the next request"
    STOPPED = "over"


class Event(enum.Enum):
    """What happened; the value says when it is that."""

    STARTED = "the source was started"
    WAITED = "the pause is over"
    OPENED = "HTTP 200 has come"
    CHANGED = "ADDED, MODIFIED or DELETED"
    BOOKMARKED = "BOOKMARK"
    INITIAL_EVENTS_ENDED = "BOOKMARK with k8s.io/initial-events-end"
    LISTED = "an item of a list"
    PAGE_ENDED = "a page is whole and names the next"
    LIST_ENDED = "the last page is whole"
    ENDED = "the stream ended, cleanly or not"
    ENDED_SOON = "it ended within 1 s, after some events"
    ENDED_AT_ONCE = "it ended within 1 s, without any event"
    OVERDUE = "a deadline passed on an open stream"
    UNREACHABLE = "no HTTP answer: refused, reset, TLS, credentials, timeout"
    THROTTLED = "429 without Retry-After, or ERROR 429"
    TOLD_TO_WAIT = "429 or 5xx with Retry-After, at most ten times"
    UNAUTHORIZED = "401, the first time"
    DENIED = "403, or 401 with fresh credentials"
    EXPIRED = "410, Expired or Gone for a resourceVersion that was named"
    PAGE_EXPIRED = "410 for a continue token"
    FROM_THE_FUTURE = "ResourceVersionTooLarge"
    WENT_BACK = "a version older than ours: the server was restored from a backup"
    FAILED = "any other HTTP status or ERROR event"
    DOUBTED = "an audit found a difference"


class Request(msgspec.Struct, frozen=True, gc=False):
    """Open a request; `verb` is list or watch (as RBAC counts), `parameters` its query."""

    verb: str
    parameters: tuple[tuple[str, str], ...]


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Do nothing for so many seconds, then say `waited`."""

    seconds: float


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A full listing begins: mark what is known."""


class Finish(msgspec.Struct, frozen=True, gc=False):
    """The listing is whole: sweep what it did not name."""


class Upsert(msgspec.Struct, frozen=True, gc=False):
    """Hold the newest form of an object."""

    thing: Thing


class Delete(msgspec.Struct, frozen=True, gc=False):
    """Forget an object."""

    namespace: str
    name: str


class Keep(msgspec.Struct, frozen=True, gc=False):
    """An object exists but cannot be read, or is on its way out: hold on to what is known of it."""

    namespace: str
    name: str


class Lose(msgspec.Struct, frozen=True, gc=False):
    """Contact is lost, or is lost for a new reason; `code` is an HTTP status or 0."""

    verb: str
    code: int
    why: str


class Forbid(msgspec.Struct, frozen=True, gc=False):
    """The role lacks a verb: the answer is 403 still, seconds after the first one."""

    verb: str
    why: str


class Regain(msgspec.Struct, frozen=True, gc=False):
    """Contact is back, and nothing was missed."""


class Abandon(msgspec.Struct, frozen=True, gc=False):
    """Drop the request in flight and any pause."""


Action = Request | Wait | Begin | Finish | Upsert | Delete | Keep | Lose | Forbid | Regain | Abandon


class Rule(NamedTuple):
    """What is done about an event in a state: steps of the reflector, in order.

    `then` is the next state; None where a step decides it (relist, resume).
    """

    steps: tuple[str, ...]
    then: State | None


def _rule(then: State | None, *steps: str) -> Rule:
    return Rule(steps, then)


S, E = State, Event
_RELIST_LATER = _rule(S.WAITING, "lose", "back_off_then_relist")
_DENIED = _rule(S.WAITING, "lose", "forbid", "back_off_then_relist")
_WATCH_LATER = _rule(S.WAITING, "lose", "back_off_then_watch")
_AS_TOLD = _rule(S.WAITING, "lose", "wait_as_told")
_LIST_INSTEAD = _rule(S.LISTING, "give_up_streaming", "list")

TABLE: dict[tuple[State, Event], Rule] = {
    (S.IDLE, E.STARTED): _rule(None, "relist"),
    (S.WAITING, E.WAITED): _rule(None, "resume"),
    (S.STREAMING, E.OPENED): _rule(S.STREAMING, "note_opened"),
    (S.STREAMING, E.CHANGED): _rule(S.STREAMING, "apply"),
    (S.STREAMING, E.BOOKMARKED): _rule(S.STREAMING),
    (S.STREAMING, E.INITIAL_EVENTS_ENDED): _rule(S.WATCHING, "advance", "finish"),
    (S.STREAMING, E.ENDED): _LIST_INSTEAD,
    (S.STREAMING, E.ENDED_SOON): _LIST_INSTEAD,
    (S.STREAMING, E.ENDED_AT_ONCE): _LIST_INSTEAD,
    (S.STREAMING, E.OVERDUE): _LIST_INSTEAD,
    (S.STREAMING, E.FAILED): _LIST_INSTEAD,
    (S.STREAMING, E.EXPIRED): _rule(S.LISTING, "forget_version", "list"),
    (S.STREAMING, E.FROM_THE_FUTURE): _rule(S.LISTING, "forget_version", "list"),
    (S.STREAMING, E.UNREACHABLE): _RELIST_LATER,
    (S.STREAMING, E.THROTTLED): _RELIST_LATER,
    (S.STREAMING, E.DENIED): _DENIED,
    (S.STREAMING, E.TOLD_TO_WAIT): _AS_TOLD,
    (S.STREAMING, E.UNAUTHORIZED): _rule(S.STREAMING, "ask_again"),
    (S.STREAMING, E.DOUBTED): _rule(S.STREAMING),
    (S.LISTING, E.DOUBTED): _rule(S.LISTING),
    (S.LISTING, E.OPENED): _rule(S.LISTING, "note_opened"),
    (S.LISTING, E.LISTED): _rule(S.LISTING, "apply"),
    (S.LISTING, E.PAGE_ENDED): _rule(S.LISTING, "ask_next_page"),
    (S.LISTING, E.LIST_ENDED): _rule(S.WATCHING, "advance", "finish", "watch"),
    (S.LISTING, E.ENDED): _RELIST_LATER,
    (S.LISTING, E.ENDED_SOON): _RELIST_LATER,
    (S.LISTING, E.ENDED_AT_ONCE): _RELIST_LATER,
    (S.LISTING, E.OVERDUE): _RELIST_LATER,
    (S.LISTING, E.FAILED): _RELIST_LATER,
    (S.LISTING, E.EXPIRED): _rule(S.LISTING, "forget_version", "list"),
    (S.LISTING, E.PAGE_EXPIRED): _rule(S.LISTING, "list_unpaged"),
    (S.LISTING, E.FROM_THE_FUTURE): _rule(S.LISTING, "forget_version", "list"),
    (S.LISTING, E.UNREACHABLE): _RELIST_LATER,
    (S.LISTING, E.THROTTLED): _RELIST_LATER,
    (S.LISTING, E.DENIED): _DENIED,
    (S.LISTING, E.TOLD_TO_WAIT): _AS_TOLD,
    (S.LISTING, E.UNAUTHORIZED): _rule(S.LISTING, "ask_again"),
    (S.WATCHING, E.OPENED): _rule(S.WATCHING, "note_opened", "regain"),
    (S.WATCHING, E.CHANGED): _rule(S.WATCHING, "apply", "advance"),
    (S.WATCHING, E.BOOKMARKED): _rule(S.WATCHING, "advance"),
    (S.WATCHING, E.INITIAL_EVENTS_ENDED): _rule(S.WATCHING, "advance"),
    (S.WATCHING, E.ENDED): _rule(S.WATCHING, "watch"),
    (S.WATCHING, E.ENDED_SOON): _rule(S.WAITING, "back_off_then_watch"),
    (S.WATCHING, E.ENDED_AT_ONCE): _rule(S.WAITING, "back_off_then_relist"),
    (S.WATCHING, E.OVERDUE): _rule(S.WATCHING, "watch"),
    (S.WATCHING, E.FAILED): _RELIST_LATER,
    (S.WATCHING, E.EXPIRED): _rule(S.WAITING, "back_off_then_relist"),
    (S.WATCHING, E.FROM_THE_FUTURE): _rule(S.WAITING, "forget_version", "back_off_then_relist"),
    (S.WATCHING, E.WENT_BACK): _rule(S.WAITING, "forget_version", "back_off_then_relist"),
    (S.WATCHING, E.UNREACHABLE): _WATCH_LATER,
    (S.WATCHING, E.THROTTLED): _WATCH_LATER,
    (S.WATCHING, E.DENIED): _DENIED,
    (S.WATCHING, E.TOLD_TO_WAIT): _AS_TOLD,
    (S.WATCHING, E.UNAUTHORIZED): _rule(S.WATCHING, "ask_again"),
    (S.WATCHING, E.DOUBTED): _rule(None, "relist"),
}
"""Every event that means something in a state; any other is late and changes nothing."""


def render_table() -> str:
    """Return the table for people: a paragraph a state, a line an event."""
    lines = []
    for state in State:
        lines.append(f"{state.name}: {state.value}")
        for (where, event), rule in TABLE.items():
            if where is state:
                steps = ", ".join(rule.steps) or "nothing"
                then = rule.then.name if rule.then else "(as the step decides)"
                lines.append(f"    {event.name:<21}{steps:<34} -> {then}")
        lines.append("")
    lines += [f"{event.name:<21} {event.value}" for event in Event]
    return "\n".join(lines)
