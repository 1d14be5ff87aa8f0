"""``hosts``: names and addresses as in /etc/hosts (CoreDNS plugin/hosts)."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.application.service import Service

from k8sdns.authorities.hosts import HostsAuthority, HostsFile, packed
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    Mistake,
    argument,
    block_zones,
    fallthrough,
    flag,
    lines,
    option,
)
from k8sdns.metrics import HOSTS_ENTRIES, HOSTS_RELOADED, Metrics
from k8sdns.server.draft import BlockDraft


def _inline(line: Line, context: Context) -> str:
    if packed(line[0].text) is None:
        context.warn(f"'{line[0].text}' is neither an option nor an address: ignored", line[0])
    return " ".join(token.text for token in line)


@dataclass(frozen=True)
class Settings:
    """Answers A, AAAA and PTR from a hosts file and from lines between the braces."""

    file: str = argument(kinds.path("FILE"), default="/etc/hosts", help="The hosts file.")
    zones: tuple[bytes, ...] = block_zones(help="Names outside these zones are ignored.")
    inline: tuple[str, ...] = lines(
        _inline, form="ADDRESS NAME…", help="Names of an address, as in the file."
    )
    ttl: int = option(
        kinds.integer(1, 65535),
        default=3600,
        help="TTL of the answers in seconds (1 to 65535).",
        complaint="ttl provided is invalid: {}; write 1 to 65535 seconds",
    )
    no_reverse: bool = flag(help="Make no PTR records.")
    reload: float = option(
        kinds.duration(0), default=5.0, help="How often the file is looked at; 0: never again."
    )
    fallthrough: tuple[bytes, ...] = fallthrough()
    fallthrough_unsupported: bool = flag(
        help="With fallthrough: so do types other than A and AAAA of names that exist."
    )

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        if self.fallthrough_unsupported and not self.fallthrough:
            raise Mistake("fallthrough_unsupported requires fallthrough", "fallthrough_unsupported")


class _Figures(Service):
    """Says how many entries a table has, and since when, while a block has it."""

    def __init__(self, file: str, source: HostsFile, metrics: Metrics) -> None:
        self._file = file
        self._source = source
        self._metrics = metrics

    def startService(self) -> None:
        """Begin to tell."""
        super().startService()  # type: ignore[no-untyped-call]
        self._metrics.before_scrape(self._measure)

    def stopService(self) -> None:
        """Tell no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._metrics.not_before_scrape(self._measure)

    def _measure(self) -> None:
        self._metrics.gauge(HOSTS_ENTRIES)[self._file,] = self._source.entries
        self._metrics.gauge(HOSTS_RELOADED)[()] = self._source.modified_at


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the authority; the table is shared by reloads and blocks with equal settings."""
    context = block.context

    def make() -> HostsFile:
        source = HostsFile(
            settings.file,
            context.clock,
            zones=settings.zones,
            inline=settings.inline,
            reload_after=settings.reload,
        )
        source.load()
        return source

    key = ("hosts", settings.file, settings.zones, settings.inline, settings.reload)
    source = context.share.take(key, make)
    block.add(
        HostsAuthority(
            source,
            ttl=settings.ttl,
            has_reverse=not settings.no_reverse,
            fallthrough=settings.fallthrough,
            unsupported_fall_through=settings.fallthrough_unsupported,
        )
    )
    block.add(_Figures(settings.file, source, context.metrics))


DIRECTIVE = Directive("hosts", Settings, install=install, summary="Names from hosts files.")
