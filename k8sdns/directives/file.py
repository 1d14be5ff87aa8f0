"""``file``: zones from zone files (CoreDNS plugin/file)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from k8sdns.authorities.zoneauthority import Served, ZoneAuthority
from k8sdns.authorities.zonefile import ZoneFileError
from k8sdns.authorities.zonesource import ZoneFile
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, block_zones, fallthrough, flag, option
from k8sdns.errors import ConfigurationError
from k8sdns.server.draft import BlockDraft

log = Logger()


@dataclass(frozen=True)
class Settings:
    """Answers from a zone file with the rules of an authoritative server."""

    file: str = argument(kinds.path("DBFILE"), help="The zone file (RFC 1035 §5).")
    zones: tuple[bytes, ...] = block_zones(help="The zones that are read from the file.")
    reload: float = option(
        kinds.duration(0), default=60.0, help="How often the file is looked at; 0: never again."
    )
    reload_by_mtime: bool = flag(help="Any change counts, not only that of the SOA serial.")
    fallthrough: tuple[bytes, ...] = fallthrough()

    ACCEPTED: ClassVar = {
        "upstream": "is not needed: names outside the zone are always asked of this server itself",
        "transfer": "is not used here: give the block a `transfer` directive to allow transfers",
        "no_reload": "is not used any more: write reload 0",
    }


def _source(settings: Settings, zone: bytes, clock: IReactorTime) -> Callable[[], ZoneFile]:
    def make() -> ZoneFile:
        source = ZoneFile(
            zone,
            settings.file,
            clock,
            reload_after=settings.reload,
            by_mtime=settings.reload_by_mtime,
        )
        try:
            source.load()
        except ZoneFileError as error:
            raise ConfigurationError(f"plugin/file: {error}") from None
        except OSError as error:
            message = f"{settings.file} cannot be read: {error.strerror}"
            if not settings.reload:
                raise ConfigurationError(f"plugin/file: {message}") from None
            log.warn("{message}; trying again", message=message)
        return source

    return make


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one authority for the zones of all stanzas; files are shared by reloads and blocks."""
    context = block.context
    served = {}
    for settings in stanzas:
        for zone in settings.zones:
            key = ("file", zone, settings.file, settings.reload, settings.reload_by_mtime)
            source = context.share.take(key, _source(settings, zone, context.clock))
            served[zone] = Served(source, settings.fallthrough)
    authority = ZoneAuthority("file", block.lookup)
    authority.serve(served)
    block.add(authority)


DIRECTIVE = Directive(
    "file", Settings, install=install, once=False, summary="Zones from zone files."
)
