"""``cache``: keep for a while what came over the network (CoreDNS plugin/cache).

Other than CoreDNS's it never stands in front of live data: names of the cluster, hosts and zones
are answered from what is known now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from k8sdns import names
from k8sdns.authorities.cache.service import CacheService
from k8sdns.authorities.cache.settings import CacheSettings, Prefetch, Shelf, Stale
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    Mistake,
    argument,
    block_zones,
    flag,
    option,
    parsed,
)
from k8sdns.interfaces import IAuthority, IRemoteAuthority
from k8sdns.server.draft import BlockDraft

_CAPACITY = kinds.integer(0, name="CAPACITY")
_MAX_RECHECK = 300.0
_MAX_SERVFAIL = 300.0


def _ttl(word: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", word):
        raise ValueError(f"'{word}' is not a TTL in seconds")
    if int(word) <= 0:
        raise ValueError(f"cache TTL can not be zero or negative: {int(word)}")
    return int(word)


def _min_ttl(word: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", word):
        raise ValueError(f"'{word}' is not a TTL in seconds")
    if int(word) < 0:
        raise ValueError(f"cache min TTL can not be negative: {int(word)}")
    return int(word)


_TTL = kinds.of_text("TTL", "seconds, more than 0", _ttl)
_MIN_TTL = kinds.of_text("MINTTL", "seconds", _min_ttl)


def _is_integer(word: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", word) is not None


def _prefetch(line: Line, context: Context) -> Prefetch:
    """Read ``prefetch AMOUNT [DURATION [PERCENTAGE%]]``."""
    if not 2 <= len(line) <= 4:
        raise ValueError("write: prefetch AMOUNT [DURATION [PERCENTAGE%]]")
    amount: int = kinds.integer(0).convert(line[1], context)
    within: float = kinds.duration(0).convert(line[2], context) if len(line) > 2 else 60.0
    if len(line) < 4:
        return Prefetch(amount, within)
    percentage = re.fullmatch(r"([0-9]{1,3})%", line[3].text)
    if percentage is None or not 10 <= int(percentage[1]) <= 90:
        raise ValueError(f"percentage should fall in range [10, 90] with a %: '{line[3].text}'")
    return Prefetch(amount, within, int(percentage[1]) / 100)


def _serve_stale(line: Line, context: Context) -> Stale:
    """Read ``serve_stale`` with its limit, its mode, and what the mode takes."""
    words = list(line[1:])
    limit: float = kinds.duration(0).convert(words.pop(0), context) if words else 3600.0
    stale = Stale(limit)
    if not words:
        return stale
    mode = words.pop(0).text.lower()
    if mode == "verify":
        stale = replace(stale, mode="verify")
        if words:
            stale = replace(stale, timeout=kinds.duration(0).convert(words.pop(0), context))
    elif mode != "immediate":
        raise ValueError(f"invalid value for serve_stale refresh mode: {mode}")
    if words:
        stale = replace(stale, ttl=_whole_seconds(kinds.duration(0).convert(words.pop(0), context)))
    if words:
        recheck = kinds.duration(0, _MAX_RECHECK).convert(words.pop(0), context)
        stale = replace(stale, recheck=recheck)
    if words:
        raise ValueError(f"serve_stale: too many words, from '{words[0].text}' on")
    return stale


def _whole_seconds(seconds: float) -> int:
    if seconds != int(seconds):
        raise ValueError("the TTL of stale records must be whole seconds")
    return int(seconds)


def _policy(line: Line, _context: Context) -> bool:
    if [token.text for token in line[1:]] != ["prefer_positive"]:
        raise ValueError("serve_stale_policy is prefer_positive")
    return True


def _disable(line: Line, context: Context) -> tuple[str, tuple[bytes, ...]]:
    """Read ``disable success|denial [ZONES…]``."""
    if len(line) < 2 or line[1].text not in {"success", "denial"}:
        raise ValueError("write: disable success|denial [ZONES…]")
    kind = line[1].text
    found = [zone for token in line[2:] for zone in kinds.zones().convert(token, context)]
    return kind, tuple(found) or (names.ROOT,)


@dataclass(frozen=True)
class Settings:
    """Keeps the answers of `forward` and other remote authorities; never live data."""

    ttl: int = argument(
        _TTL, default=0, when=_is_integer, shown="3600, denials 1800", help="The longest TTL."
    )
    zones: tuple[bytes, ...] = block_zones(help="Only names under these are kept.")
    success: tuple[int, ...] = option(
        _CAPACITY,
        _TTL,
        _MIN_TTL,
        least=1,
        default=(),
        shown="10000 3600 5",
        help="How many answers with records, how long at most and at least.",
    )
    denial: tuple[int, ...] = option(
        _CAPACITY,
        _TTL,
        _MIN_TTL,
        least=1,
        default=(),
        shown="10000 1800 5",
        help="The same for NXDOMAIN and NODATA.",
    )
    prefetch: Prefetch = parsed(  # noqa: RUF009 - makes a field
        _prefetch,
        form="AMOUNT [DURATION [PERCENTAGE%]]",
        default=Prefetch(),
        gathers=False,
        shown="off",
        help="Ask again for what was hit AMOUNT times before it expires.",
    )
    serve_stale: Stale = parsed(  # noqa: RUF009 - makes a field
        _serve_stale,
        form="[DURATION [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]]",
        default=Stale(),
        gathers=False,
        shown="off",
        help="Answer with what expired up to DURATION ago (1h) while there is nothing newer.",
    )
    serve_stale_policy: bool = parsed(
        _policy,
        form="prefer_positive",
        default=False,
        gathers=False,
        shown="off",
        help="A denial does not take the place of a stale answer.",
    )
    servfail: float = option(
        kinds.duration(0), default=5.0, help="How long SERVFAIL is kept, at most 5m; 0: not."
    )
    disable: tuple[tuple[str, tuple[bytes, ...]], ...] = parsed(
        _disable, form="success|denial [ZONES…]", help="Keep none of these, or not under ZONES."
    )
    keepttl: bool = flag(help="Do not count TTLs down.")

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        if self.servfail > _MAX_SERVFAIL:
            raise Mistake("caching SERVFAIL responses over 5 minutes is not permitted", "servfail")
        if self.serve_stale_policy and not self.serve_stale.limit:
            raise Mistake("serve_stale_policy needs serve_stale", "serve_stale_policy")

    @property
    def caching(self) -> CacheSettings:
        """The same in the terms of the authority."""
        return CacheSettings(
            zones=self.zones,
            success=_shelf(Shelf(), self.ttl, self.success),
            denial=_shelf(Shelf(max_ttl=1800), self.ttl, self.denial),
            servfail=self.servfail,
            keeps_ttl=self.keepttl,
            disabled_success=self._disabled("success"),
            disabled_denial=self._disabled("denial"),
            prefetch=self.prefetch,
            stale=replace(self.serve_stale, prefers_positive=self.serve_stale_policy),
        )

    def _disabled(self, kind: str) -> tuple[bytes, ...]:
        return tuple(zone for each, zones in self.disable if each == kind for zone in zones)


def _shelf(shelf: Shelf, ttl: int, given: tuple[int, ...]) -> Shelf:
    if ttl:
        shelf = replace(shelf, max_ttl=ttl)
    return replace(shelf, **dict(zip(("capacity", "max_ttl", "min_ttl"), given, strict=False)))


def connect(settings: Settings, block: BlockDraft) -> None:
    """Put the cache in the place of each authority that goes to the network."""
    context = block.context
    server = block.server_names[0] if block.server_names else ""
    service = context.share.take(
        ("cache", settings, block.zones, block.server_names),
        lambda: CacheService(settings.caching, context.clock, context.metrics, server),
    )
    for remote in block.all(IRemoteAuthority):
        block.replace(remote, service.wrap(remote))
    if names.ROOT in settings.zones or set(block.zones) <= set(settings.zones):
        _limit_live_ttls(settings.caching.success.max_ttl, block)


def _limit_live_ttls(ceiling: int, block: BlockDraft) -> None:
    """Hold the TTLs of live answers down as if they came through a cache, which they do not."""
    for authority in block.all(IAuthority):
        limit = getattr(authority, "limit_ttl", None)
        if limit is not None:
            limit(ceiling)


DIRECTIVE = Directive(
    "cache",
    Settings,
    install=None,
    connect=connect,
    summary="Keep for a while what came over the network.",
)
