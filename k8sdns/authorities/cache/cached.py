"""The answers of a remote authority, kept: what it said lately is said again without asking it.

Owns the order of things for one question: a fresh entry, a stale one, the authority. Refuses to
know how entries are evicted and what may be kept. Apart from `CachedAuthority`, which is a Twisted
resolver as well, so that it can be compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from k8sdns import names, records
from k8sdns.answers import AD, CD, RD, Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.authorities.cache.entry import Entry, Key, with_ttl, with_ttl_octets
from k8sdns.authorities.cache.judgement import (
    DENIAL,
    FAILURE,
    NOT,
    STRAY,
    SUCCESS,
    Keep,
    has_dead_signature,
    judge,
    least_ttl_of,
)
from k8sdns.authorities.cache.moments import MOMENT_SECONDS, Moments
from k8sdns.authorities.cache.settings import CacheSettings
from k8sdns.authorities.cache.stale import Verification, Verifications
from k8sdns.authorities.cache.store import CacheStore
from k8sdns.authorities.cache.tally import Tallies
from k8sdns.authorities.rendered import RenderedAnswer, ttl_places
from k8sdns.authorities.upstream.query import PASSED_ON
from k8sdns.authorities.upstream.reply import (
    USUAL_FLAGS,
    WireAnswer,
    usual_answer,
    usual_rendered,
)
from k8sdns.authorities.upstream.usual import Shape
from k8sdns.waiting import Pending
from k8sdns.wire.edns import option_octets
from k8sdns.wire.reader import OPCODE_BITS

log = Logger(namespace="k8sdns.authorities.cache")

Asked: TypeAlias = "Answer | Deferred[Answer | None] | None"
Begun: TypeAlias = "Asked | Pending"

_KEYED = OPCODE_BITS | RD | CD  # header bits that the answer depends on
_REFRESHED = (records.NOERROR, records.NXDOMAIN)


class CachedAnswers:
    """Answers from `store`, and asks `remote` only for what that does not have."""

    def __init__(
        self,
        remote: Authority,
        store: CacheStore,
        settings: CacheSettings,
        clock: IReactorTime,
        tallies: Tallies,
        wall_time: Callable[[], float] = time,
    ) -> None:
        self._remote: Any = remote
        self._word = remote.word
        self._store = store
        self._settings = settings
        self._now: Callable[[], float] = clock.seconds
        self._tallies = tallies
        self._wall_time = wall_time
        self._tag = store.tag_of(remote) << 32
        self._is_everywhere = names.ROOT in settings.zones
        self._keeps_all = not settings.disabled_success
        self._min_ttl = settings.success.min_ttl
        self._max_ttl = settings.success.max_ttl
        # A forward keeps a reply for us before it tells who waits, without a Deferred.
        self._begin: Any = getattr(remote, "begin_with", None)
        self._successes = store.success.entries
        self._denials = store.denial.entries
        self._moments = Moments(clock)
        self._verifications = Verifications(clock, settings.stale.timeout)

    def begin(self, question: Question) -> Begun:
        """Answer from an entry, or ask; what is asked for may be a Pending."""
        flags = question.flags
        edns = question.edns
        does = edns is not None and edns.do
        bits = self._tag | question.qclass << 16 | flags & _KEYED | does
        key = (question.qname, question.qtype, bits)
        if question.upstream_options:
            # What upstreams are told beside the question, a client's subnet say, sets it apart.
            key = (key[0] + option_octets(question.upstream_options), key[1], key[2])
        entry = self._successes.get(key) or self._denials.get(key)
        if entry is None:
            return self._asked(question, key)
        now = self._now()
        if entry.expires <= now:
            return self._expired(entry, question, now)
        self._tallies.hit(question, entry.keep)
        entry.is_wanted = True
        settings = self._settings
        if settings.prefetch.amount:
            self._prefetch(entry, question, now)
        wants_ad = does or bool(flags & AD)
        if settings.keeps_ttl:
            shown = entry.shown_with(int(entry.ttl), wants_ad)
        else:
            shown = entry.shown(now, wants_ad)
        if not shown.is_current:
            self._hold(shown, entry, question, now)
        return shown

    def _hold(self, shown: Answer, entry: Entry, question: Question, now: float) -> None:
        """Let an answer be repeated for a moment, where that hides nothing.

        Prefetching counts every hit as it comes, and what expires soon must not outlive it.
        """
        if self._settings.prefetch.amount or entry.expires - now <= MOMENT_SECONDS:
            return
        shown.told = self._tallies.again(question, entry.keep)
        self._moments.hold(shown)

    def _asked(self, question: Question, key: Key) -> Begun:
        """Ask the remote authority; None is "not mine" and no miss."""
        flags = question.flags
        if flags & OPCODE_BITS or not (self._is_everywhere or self._caches(question.qname)):
            uncached: Asked = self._remote.answer(question)
            return uncached
        if self._begin is not None:
            # With AD set: a validating upstream then says what it found.
            pending: Pending | None = self._begin(question, flags & PASSED_ON | AD)
            if pending is None:
                return None
            pending.keeper = self
            pending.key = key
            self._tallies.missed(question)
            if pending.is_over and isinstance(pending.outcome, Answer):
                # Nobody was there yet who could have kept it.
                pending.outcome = self.came(pending.outcome, question, key)
            return pending
        answered = self._ask(question)
        if answered is None:
            return None
        self._tallies.missed(question)
        if isinstance(answered, Deferred):
            return answered.addCallback(self._came_later, question, key)
        return self._came_later(answered, question, key)

    def _ask(self, question: Question) -> Asked:
        """Ask the remote authority, upstreams with AD set; no Pending comes back."""
        if self._begin is not None:
            pending: Pending | None = self._begin(question, question.flags & PASSED_ON | AD)
            return None if pending is None else pending.deferred()
        answered: Asked = self._remote.answer(_validated(question))
        return answered

    def _caches(self, qname: bytes) -> bool:
        return _is_under(qname, self._settings.zones)

    def _came_later(self, answer: Answer | None, question: Question, key: Key) -> Answer | None:
        return None if answer is None else self.came(answer, question, key)

    def came(self, answer: Answer, question: Question, key: Key) -> Answer:
        """Keep what may be kept; return what the client is told, TTLs as those of an entry."""
        if answer.error is not None:
            return answer
        return self._kept(answer, question, key)[0]

    def came_usual(
        self, flags: int, shape: Shape, body: bytes, question: Question, key: Key
    ) -> Answer:
        """Do the same with a usual reply, which is a success whatever its records say."""
        ttl = int.from_bytes(body[6:10], "big")
        ttl = max(ttl, self._min_ttl)
        ttl = min(ttl, self._max_ttl)
        if not ttl:
            return self.came(usual_answer(flags, shape, body, question.qname), question, key)
        body = with_ttl_octets(body, shape.ttl_places, ttl.to_bytes(4, "big"))
        qname = question.qname
        rendered = usual_rendered(shape, body, qname)
        octets = shape.octets + shape.number * len(qname)
        answer = RenderedAnswer(
            rendered, records.NOERROR, flags & USUAL_FLAGS, source=self._word, octets=octets
        )
        if self._keeps_all or not _is_under(qname, self._settings.disabled_success):
            self._store.put_success(
                Entry(key, SUCCESS, answer, rendered, shape.ttl_places, ttl, self._now())
            )
        if flags & AD and not _wants_ad(question):
            answer.flags &= ~AD  # nobody else has it yet
        return answer

    def _kept(
        self, answer: Answer, question: Question, key: Key, earlier: Entry | None = None
    ) -> tuple[Answer, Entry | None]:
        if isinstance(answer, WireAnswer):
            rendered = answer.rendered(question)
            places = answer.ttl_places
            least_ttl = answer.least_ttl
        else:
            # Letters of one client's name must not reach another.
            rendered = answer.rendered(question.changed(qname=question.qname))
            places = ttl_places(rendered)
            least_ttl = least_ttl_of(rendered.body, places)
        keep, ttl = judge(question, answer, rendered, places, least_ttl, self._settings)
        if keep is STRAY:
            self._tallies.of(question).drops += 1
            keep = NOT
        elif key[2] & 1 and has_dead_signature(rendered.body, places, self._wall_time()):
            keep = NOT
        shown = RenderedAnswer(
            with_ttl(rendered, places, int(ttl)),
            answer.rcode,
            answer.flags,
            options=answer.options,
            source=answer.source,
            octets=answer.octets,
        )
        entry = None
        if self._may_keep(keep, question.qname, earlier):
            entry = Entry(key, keep, shown, rendered, places, ttl, self._now())
            self._store.put(entry)
        if not _wants_ad(question):
            shown.flags &= ~AD  # nobody else has it yet
        return shown, entry

    def _may_keep(self, keep: Keep, qname: bytes, earlier: Entry | None) -> bool:
        settings = self._settings
        if keep is NOT:
            return False
        if keep is SUCCESS:
            return not _is_under(qname, settings.disabled_success)
        if _is_under(qname, settings.disabled_denial):
            return False
        # Trouble must not put out what was known, nor denials the last good answer if so asked.
        return earlier is None or (
            keep is DENIAL and not (settings.stale.prefers_positive and earlier.keep is SUCCESS)
        )

    def _expired(self, entry: Entry, question: Question, now: float) -> Begun:
        stale = self._settings.stale
        if entry.keep is FAILURE or now - entry.expires >= stale.limit:
            return self._asked(question, entry.key)
        if now < entry.recheck_at:
            return self._stale(entry, question)
        if stale.mode == "verify":
            return self._verified(entry, question)
        self._refresh(entry, question)
        return self._stale(entry, question)

    def _stale(self, entry: Entry, question: Question) -> Answer:
        tallies = self._tallies
        tallies.hit(question, entry.keep)
        tallies.of(question).served_stale += 1
        entry.is_wanted = True
        return entry.shown_stale(self._settings.stale.ttl, _wants_ad(question))

    def _prefetch(self, entry: Entry, question: Question, now: float) -> None:
        prefetch = self._settings.prefetch
        entry.hits = 1 if now - entry.last_hit > prefetch.within else entry.hits + 1
        entry.last_hit = now
        is_late = entry.expires - now <= prefetch.share * entry.ttl
        if is_late and entry.hits >= prefetch.amount and not entry.is_refreshing:
            self._tallies.of(question).prefetches += 1
            self._refresh(entry, question)

    def _refresh(self, entry: Entry, question: Question) -> None:
        """Ask for an entry again, in the background; one question an entry at a time."""
        if entry.is_refreshing:
            return
        entry.is_refreshing = True
        answered = self._ask_again(question)
        answered.addCallback(self._refreshed, entry, question)
        answered.addErrback(self._not_refreshed, entry)

    def _ask_again(self, question: Question) -> Deferred[Answer | None]:
        try:
            answered = self._ask(question)
        except Exception:  # noqa: BLE001 - handed on as the Deferred's failure
            failed: Deferred[Answer | None] = Deferred()
            failed.errback(Failure())
            return failed
        if isinstance(answered, Deferred):
            return answered
        at_once: Deferred[Answer | None] = Deferred()
        at_once.callback(answered)
        return at_once

    def _refreshed(self, answer: Answer | None, entry: Entry, question: Question) -> Answer | None:
        """Exchange the entry for a newer one; return what the client may be told of it, or None."""
        entry.is_refreshing = False
        if answer is None or answer.error is not None or answer.rcode not in _REFRESHED:
            entry.recheck_at = self._now() + self._settings.stale.recheck
            return None
        shown, newer = self._kept(answer, question, entry.key, earlier=entry)
        if newer is not None:
            newer.hits, newer.last_hit = entry.hits, entry.last_hit
            return shown
        if self._settings.stale.prefers_positive and entry.keep is SUCCESS:
            entry.recheck_at = self._now() + self._settings.stale.recheck
            return None
        return shown

    def _not_refreshed(self, failure: Failure, entry: Entry) -> None:
        entry.is_refreshing = False
        entry.recheck_at = self._now() + self._settings.stale.recheck
        log.debug("a refresh failed: {why}", why=failure.value)

    def _verified(self, entry: Entry, question: Question) -> Deferred[Answer | None]:
        """Ask first, and fall back to what expired."""
        answered = self._ask_again(question)
        answered.addCallback(self._refreshed, entry, question)
        answered.addErrback(self._not_refreshed, entry)
        verification = Verification(answered, lambda: self._stale(entry, question))
        return self._verifications.watch(verification)


def _is_under(qname: bytes, zones: tuple[bytes, ...]) -> bool:
    return bool(zones) and any(names.is_subdomain(qname, zone) for zone in zones)


def _wants_ad(question: Question) -> bool:
    """Tell whether the client understands the AD bit (RFC 6840 §5.7)."""
    edns = question.edns
    return bool(question.flags & AD) or (edns is not None and edns.do)


def _validated(question: Question) -> Question:
    """Return the question with AD set: a validating upstream then says what it found."""
    if question.flags & AD:
        return question
    asked = question.changed()
    asked.flags |= AD
    return asked
