"""What a Corefile says about a cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from k8sdns import names

MAX_OCTETS = 32 * 1024 * 1024  # of either class, whatever its capacity in entries


@dataclass(frozen=True)
class Shelf:
    """One class of entries: how many, and how long at most and at least (TTLs in seconds)."""

    capacity: int = 10_000
    max_ttl: int = 3600
    min_ttl: int = 5
    octets: int = MAX_OCTETS


@dataclass(frozen=True)
class Prefetch:
    """Refresh what is asked for often, before it expires.

    That is: hit `amount` times (0: never), the hits at most `within` seconds apart, and in the
    last `share` of its life.
    """

    amount: int = 0
    within: float = 60.0
    share: float = 0.10


@dataclass(frozen=True)
class Stale:
    """What may be said of an entry that expired up to `limit` seconds ago (RFC 8767); 0: nothing.

    `ttl` is that of stale records. With ``verify`` the upstream is asked first, for at most
    `timeout` seconds (0: as long as it takes). After a refresh that failed none is tried for
    `recheck` seconds.
    """

    limit: float = 0.0
    mode: Literal["immediate", "verify"] = "immediate"
    timeout: float = 0.0
    ttl: int = 0
    recheck: float = 0.0
    prefers_positive: bool = False


@dataclass(frozen=True)
class CacheSettings:
    """A cache; `zones` and the `disabled_` ones are wire names, times in seconds."""

    zones: tuple[bytes, ...] = (names.ROOT,)
    success: Shelf = field(default_factory=Shelf)
    denial: Shelf = field(default_factory=lambda: Shelf(max_ttl=1800))
    servfail: float = 5.0  # 0: SERVFAIL is not kept
    keeps_ttl: bool = False
    disabled_success: tuple[bytes, ...] = ()
    disabled_denial: tuple[bytes, ...] = ()
    prefetch: Prefetch = field(default_factory=Prefetch)
    stale: Stale = field(default_factory=Stale)
