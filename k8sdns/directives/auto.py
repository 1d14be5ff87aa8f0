"""``auto``: a zone for each file of a folder (CoreDNS plugin/auto)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from k8sdns.authorities.autozones import ORIGIN, PATTERN, AutoZones
from k8sdns.authorities.zoneauthority import ZoneAuthority
from k8sdns.corefile import kinds
from k8sdns.corefile.goregex import GoRegex
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    block_zones,
    convert,
    counted,
    fallthrough,
    option,
    parsed,
)
from k8sdns.server.draft import BlockDraft

_FORM = "DIR [REGEXP ORIGIN_TEMPLATE]"


class Folder(NamedTuple):
    """``directory``: where the files are, which they are, and what zone each is."""

    path: str
    pattern: GoRegex = PATTERN
    origin: str = ORIGIN


def _directory(line: Line, context: Context) -> Folder:
    words = counted(line, context, 1, 3, _FORM)
    path = convert(kinds.path("DIR"), words[0], context)
    if len(words) == 2:
        raise ValueError("directory: a REGEXP needs an ORIGIN_TEMPLATE behind it, such as {1}")
    if len(words) == 1:
        return Folder(path)
    return Folder(path, convert(kinds.regex(), words[1], context), words[2].text)


@dataclass(frozen=True)
class Settings:
    """Answers from every zone file in a folder, as the files come and go."""

    zones: tuple[bytes, ...] = block_zones(help="Zones of other files are ignored.")
    directory: Folder | None = parsed(  # noqa: RUF009 - makes a field
        _directory,
        form=_FORM,
        default=None,
        gathers=False,
        shown=r"db\.(.*) {1}",
        help="The folder; files whose names match are the zones that the template makes of it.",
    )
    reload: float = option(
        kinds.duration(0), default=60.0, help="How often folder and files are looked at; 0: once."
    )
    fallthrough: tuple[bytes, ...] = fallthrough()

    ACCEPTED: ClassVar = {
        "upstream": "is not needed: names outside the zone are always asked of this server itself",
        "transfer": "is not used here: give the block a `transfer` directive to allow transfers",
        "no_reload": "is not used any more: write reload 0",
    }

    def check(self, _context: Context) -> None:
        """A folder must be named."""
        if self.directory is None:
            raise ValueError("'directory' is required")


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add an authority a stanza, and what keeps it in step with its folder."""
    for settings in stanzas:
        folder = settings.directory
        if folder is None:
            continue
        authority = ZoneAuthority("auto", block.lookup)
        block.add(authority)
        block.add(
            AutoZones(
                authority,
                folder.path,
                block.context.clock,
                zones=settings.zones,
                pattern=folder.pattern,
                origin=folder.origin,
                reload_after=settings.reload,
                fallthrough=settings.fallthrough,
            )
        )


DIRECTIVE = Directive(
    "auto", Settings, install=install, once=False, summary="Zones from the files of a folder."
)
