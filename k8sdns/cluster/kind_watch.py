"""One kind of object followed for real: carries out what its reflector asks for.

Owns: the request in flight, the pause, the deadline, the log lines about contact, and what others
may know of freshness. Refuses to know the rules (reflector) and what the sink does.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from k8sdns.cluster.client import ApiClient
from k8sdns.cluster.exchange import Exchange
from k8sdns.cluster.model import Kind
from k8sdns.cluster.reading import ListReader, WatchReader
from k8sdns.cluster.reflection import (
    Abandon,
    Action,
    Begin,
    Delete,
    Finish,
    Forbid,
    Keep,
    Lose,
    Regain,
    Request,
    State,
    Upsert,
    Wait,
)
from k8sdns.cluster.reflector import Reflector
from k8sdns.cluster.statuses import Status
from k8sdns.collecting import Gatherings

_gatherings = Gatherings()

MAX_COMPLAINTS = 10
"""Unreadable objects that are logged one by one; the count goes on."""


class KindWatch:
    """Follows `kind` into `sink`; all times are the reactor's seconds.

    `heard_at` is when the API server last said anything on an open request, None before.
    `listings` counts full listings begun, `finished` those that were completed, `unreadable` what
    could not be decoded.
    """

    log = Logger()

    def __init__(
        self,
        kind: Kind,
        client: ApiClient,
        sink: Any,
        selectors: tuple[tuple[str, str], ...] = (),
        *,
        reflector: Reflector | None = None,
    ) -> None:
        self.kind = kind
        self.reflector = reflector or Reflector(client.reactor.seconds)
        self.heard_at: float | None = None
        self.is_lost = False
        self.unreadable = 0
        self.listings = 0
        self.finished = 0
        self._client = client
        self._sink = sink
        self.selectors = selectors
        self._talk: _Talk | None = None
        self._timer: Any = None
        self._sweeping: Any = None

    def start(self) -> None:
        """Begin; the first request goes out now."""
        self.perform(self.reflector.started())

    def stop(self) -> None:
        """Drop the request and every timer; what the sink holds stays."""
        self._cancel_sweep()
        self.perform(self.reflector.stopped())

    def lag(self) -> float | None:
        """Return the seconds since the API server last proved that we are up to date.

        None before the first sync. Bookmarks come every one to two minutes where nothing changes.
        """
        vouched_at = self.reflector.vouched_at
        return None if vouched_at is None else float(self._client.reactor.seconds() - vouched_at)

    @property
    def is_watching(self) -> bool:
        """Tell whether changes are followed now: listed whole, and the watch was answered."""
        is_open = self._talk is not None and self._talk.is_open
        is_listed = self.reflector.state is State.WATCHING and self._sweeping is None
        return is_listed and is_open and not self.is_lost

    def doubt(self) -> None:
        """List anew, in place, because a difference was found; nothing where a listing is due."""
        self.perform(self.reflector.doubted())

    def perform(self, actions: list[Action]) -> None:
        """Carry out `actions` in order; a failing sink costs the one object and is logged."""
        for action in actions:
            try:
                self._perform(action)
            except Exception:  # noqa: BLE001 - one object never ends a stream
                self.log.failure("{kind}: {action} failed", kind=self.kind, action=type(action))

    def _perform(self, action: Action) -> None:
        match action:
            case Upsert():
                self._sink.upsert(action.thing)
            case Delete():
                self._sink.delete(self.kind, action.namespace, action.name)
            case Keep():
                self._sink.seen(self.kind, action.namespace, action.name)
            case Begin():
                self._cancel_sweep()
                self.listings += 1
                self._sink.listing(self.kind)
            case Finish():
                self._sweep()
            case Request():
                self._request(action)
            case Wait():
                self._wait(action.seconds)
            case Lose():
                self._lose(action)
            case Forbid():
                self._say_forbidden(action)
            case Regain():
                self._regain()
            case Abandon():
                self._drop()

    def heard(self) -> None:
        """Take note that the API server spoke."""
        self.heard_at = self._client.reactor.seconds()

    def complain(self, what: str) -> None:
        """Count, and at first log, an object or event that was passed over."""
        self.unreadable += 1
        if self.unreadable <= MAX_COMPLAINTS:
            self.log.warn("{kind}: passed over {what}", kind=self.kind, what=what)

    def arm_deadline(self) -> None:
        """Look again when the open request could be overdue."""
        self._cancel_timer()
        now = self._client.reactor.seconds()
        at = self.reflector.overdue_at(now if self.heard_at is None else self.heard_at)
        self._timer = self._client.reactor.callLater(max(0.0, at - now), self._check_deadline)

    def _check_deadline(self) -> None:
        now = self._client.reactor.seconds()
        if self.reflector.overdue_at(now if self.heard_at is None else self.heard_at) > now:
            self.arm_deadline()
        else:
            self._drop()
            self.perform(self.reflector.overdue())

    # -- what the reflector asks for ----------------------------------------------------------

    def _sweep(self) -> None:
        """Forget what the listing did not name, step by step: changes may come in between."""
        self._sweeping = None
        if self._sink.sweep(self.kind):
            self._sweeping = self._client.reactor.callLater(0, self._sweep)
        else:
            self.finished += 1
            self._sink.listed(self.kind)

    def _cancel_sweep(self) -> None:
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()

    def _request(self, request: Request) -> None:
        self._drop()
        self._talk = _Talk(self, request)
        parameters = request.parameters + self.selectors
        self._talk.exchange = self._client.get(self.kind, parameters, self._talk)
        self._talk.exchange.start()

    def _wait(self, seconds: float) -> None:
        self._drop()
        self._timer = self._client.reactor.callLater(seconds, self._waited)

    def _waited(self) -> None:
        self.perform(self.reflector.waited())

    def _drop(self) -> None:
        self._cancel_timer()
        talk, self._talk = self._talk, None
        if talk is not None and talk.exchange is not None:
            talk.exchange.abandon()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _lose(self, action: Lose) -> None:
        if action.code == 403:
            self.log.info(
                "{kind}: the API server at {host} forbids {verb}, as after a start; asking again",
                kind=self.kind,
                host=self._client.host,
                verb=action.verb,
            )
        elif not self.is_lost:
            self.log.error(
                "{kind}: lost contact with the API server at {host}, answering from what is known:"
                " {verb}: {why}",
                kind=self.kind,
                host=self._client.host,
                verb=action.verb,
                why=action.why,
            )
        self.is_lost = True
        self._sink.stale(self.kind)

    def _say_forbidden(self, action: Forbid) -> None:
        self.log.error(
            "{kind}: the API server forbids {verb} on {kind}; the ClusterRole needs list and"
            " watch on {kind}: {why}",
            kind=self.kind,
            verb=action.verb,
            why=action.why,
        )

    def _regain(self) -> None:
        self.is_lost = False
        self.log.info("{kind}: contact with the API server is back", kind=self.kind)
        if self._sweeping is None:
            # No listing is under way: this sweeps nothing and says that nothing was missed.
            self._sink.listed(self.kind)


class _Talk:
    """The conversation of one request; whatever comes after another began is not heard."""

    def __init__(self, watch: KindWatch, request: Request) -> None:
        self.exchange: Exchange | None = None
        self._watch = watch
        self._request = request
        self._reader: WatchReader | ListReader | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the request was answered."""
        return self._reader is not None

    def opened(self) -> None:
        watch = self._watch
        watch.heard()
        self._reader = self._make_reader()
        watch.perform(watch.reflector.opened())
        watch.arm_deadline()

    def received(self, octets: bytes) -> None:
        self._watch.heard()
        if self._reader is not None:
            self._reader.received(octets)
            _gatherings.read(len(octets))

    def ended(self, why: str) -> None:
        if self._reader is not None:
            self._reader.ended(why)

    def refused(self, status: Status, retry_after: float | None) -> None:
        self._watch.perform(self._watch.reflector.refused(status, retry_after))

    def unreachable(self, why: str) -> None:
        self._watch.perform(self._watch.reflector.unreachable(why))

    def _make_reader(self) -> WatchReader | ListReader:
        watch = self._watch
        if self._request.verb == "list":
            return ListReader(watch.kind, watch.reflector, watch.perform, watch.complain)
        return WatchReader(watch.kind, watch.reflector, watch.perform, watch.complain)
