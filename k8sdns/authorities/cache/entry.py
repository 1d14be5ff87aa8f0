"""One kept answer: octets, and where the TTLs stand in them, so that aging it is one join."""

from __future__ import annotations

from math import ceil
from typing import TypeAlias

from k8sdns import records
from k8sdns.answers import AA, AD, QR, RA, Answer, Rendered, extended_error
from k8sdns.authorities.cache.judgement import Keep
from k8sdns.authorities.rendered import RenderedAnswer

Key: TypeAlias = tuple[bytes, int, int]  # qname, qtype, and the bits that answers depend on

ENTRY_OCTETS = 900  # what an entry costs besides its own octets, roughly
STALE_ANSWER = extended_error(3)  # RFC 8914 §4.4
STALE_NXDOMAIN = extended_error(19)  # RFC 8914 §4.20


def with_ttl(rendered: Rendered, places: tuple[int, ...], ttl: int) -> Rendered:
    """Return `rendered` with the same TTL in every record; `places` are where they stand in it."""
    qname, counts, counts_with_opt, body, ends, sections, _echoes, span = rendered
    aged = with_ttl_octets(body, places, ttl.to_bytes(4, "big"))
    return Rendered(qname, counts, counts_with_opt, aged, ends, sections, False, span)


def with_ttl_octets(body: bytes, places: tuple[int, ...], ttl: bytes) -> bytes:
    """Return `body` with `ttl` at each of the places."""
    if len(places) == 1:
        place = places[0]
        return body[:place] + ttl + body[place + 4 :]
    pieces = []
    start = 0
    for place in places:
        pieces.append(body[start:place])
        start = place + 4
    pieces.append(body[start:])
    return ttl.join(pieces)


class Entry:
    """A kept answer, fresh for `ttl` seconds from `now` on; `keep` is its class.

    `answer` is as it was told, but that its flags have AD where the upstream's had it; `places` are
    where TTLs stand in `rendered`.
    """

    is_wanted: bool = False  # was hit since eviction last looked
    is_refreshing: bool = False
    recheck_at: float = 0.0
    hits: int = 0
    last_hit: float = 0.0
    _shown: RenderedAnswer | None = None
    _shown_ttl: int = -1

    def __init__(
        self,
        key: Key,
        keep: Keep,
        answer: Answer,
        rendered: Rendered,
        places: tuple[int, ...],
        ttl: float,
        now: float,
    ) -> None:
        self.key = key
        self.keep = keep
        self.ttl = ttl
        self.expires = now + ttl
        self.size = ENTRY_OCTETS + len(key[0]) + 2 * len(rendered.body)
        self._flags = answer.flags
        self._answer = answer
        self._rendered = rendered
        self._places = places

    def shown(self, now: float, wants_ad: bool) -> RenderedAnswer:
        """Return the answer as it is `now`; within one second it is the same object."""
        return self.shown_with(ceil(self.expires - now), wants_ad)

    def shown_with(self, ttl: int, wants_ad: bool) -> RenderedAnswer:
        """Return the answer with `ttl` in every record."""
        if wants_ad and self._flags & AD:
            return self._made(ttl, AD)
        shown = self._shown
        if shown is None or ttl != self._shown_ttl:
            shown = self._shown = self._made(ttl, 0)
            self._shown_ttl = ttl
        return shown

    def shown_stale(self, ttl: int, wants_ad: bool) -> RenderedAnswer:
        """Return the expired answer, marked as that."""
        shown = self._made(ttl, self._flags & AD if wants_ad else 0)
        is_nxdomain = shown.rcode == records.NXDOMAIN
        shown.options = (STALE_NXDOMAIN if is_nxdomain else STALE_ANSWER,)
        return shown

    def _made(self, ttl: int, ad: int) -> RenderedAnswer:
        rendered = with_ttl(self._rendered, self._places, ttl)
        # From a cache: authoritative as CoreDNS says it, never truncated.
        flags = QR | AA | self._flags & (RA | 0xF) | ad
        answer = self._answer
        return RenderedAnswer(rendered, answer.rcode, flags, source="cache", octets=answer.octets)
