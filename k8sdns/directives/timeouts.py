"""``timeouts``: how long streams may take (CoreDNS plugin/timeouts)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Mistake, option
from k8sdns.server.draft import BlockDraft
from k8sdns.server.stream import StreamLimits

_DEFAULTS = StreamLimits()


_TIME = kinds.duration(1, 24 * 3600, bare_seconds=True)


@dataclass(frozen=True)
class Settings:
    """Bounds the streams of the block's listeners; at least one line is needed."""

    read: float | None = option(
        _TIME,
        default=None,
        help="How long the first message of a stream may take.",
        shown=f"{_DEFAULTS.first_message_after:g}s",
    )
    write: float | None = option(
        _TIME,
        default=None,
        help="How long a client may leave our replies unread.",
        shown=f"{_DEFAULTS.write_after:g}s",
    )
    idle: float | None = option(
        _TIME,
        default=None,
        help="How long a stream may be silent.",
        shown=f"{_DEFAULTS.idle_after:g}s",
    )
    maxtcpqueries: int | None = option(
        kinds.integer(-1),
        default=None,
        help="How many queries a stream may bring; -1 is any number.",
        shown="-1",
    )

    def check(self, _context: Context) -> None:
        """As CoreDNS: an empty directive is a mistake, and so are no queries at all."""
        given = (self.read, self.write, self.idle, self.maxtcpqueries)
        if all(each is None for each in given):
            raise Mistake("write at least one of read, write, idle and maxtcpqueries in braces")
        if self.maxtcpqueries == 0:
            raise Mistake("maxtcpqueries is -1 or at least 1", "maxtcpqueries")

    @property
    def limits(self) -> StreamLimits:
        """The bounds, defaults filled in."""
        default = _DEFAULTS
        return default._replace(
            first_message_after=default.first_message_after if self.read is None else self.read,
            write_after=default.write_after if self.write is None else self.write,
            idle_after=default.idle_after if self.idle is None else self.idle,
            messages=default.messages if self.maxtcpqueries is None else self.maxtcpqueries,
        )


def install(settings: Settings, block: BlockDraft) -> None:
    """Set the bounds of the block's listeners."""
    block.stream_limits = settings.limits


DIRECTIVE = Directive("timeouts", Settings, install=install, summary="Bounds of TCP streams.")
