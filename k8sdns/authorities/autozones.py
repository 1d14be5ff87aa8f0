"""Zones from the files of a folder, as they come and go (CoreDNS: auto).

Owns: which file is which zone, and the rescan of the folder. Refuses to know how zones are read
(`zonesource`) and answered (`zoneauthority`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from k8sdns import names
from k8sdns.authorities import polling
from k8sdns.authorities.zoneauthority import Served, ZoneAuthority, falls_through
from k8sdns.authorities.zonesource import ZoneFile
from k8sdns.corefile.goregex import GoRegex
from k8sdns.interfaces import IReadsFiles

PATTERN: Final = GoRegex(r"db\.(.*)")
ORIGIN: Final = "{1}"
RELOAD_AFTER: Final = 60.0  # seconds (CoreDNS: auto's reload 1m)
MAX_ZONES: Final = 10_000  # of one folder; further files are ignored
_GROUP = re.compile(r"\$?\{(\d+|\w+)\}")


@implementer(IReadsFiles)
class AutoZones(Service):
    """Keeps a `ZoneAuthority` in step with a folder."""

    def __init__(
        self,
        authority: ZoneAuthority,
        folder: str,
        clock: IReactorTime,
        *,
        zones: tuple[bytes, ...] = (names.ROOT,),
        pattern: GoRegex = PATTERN,
        origin: str = ORIGIN,
        reload_after: float = RELOAD_AFTER,
        fallthrough: tuple[bytes, ...] = (),
    ) -> None:
        """Files whose names match `pattern` are the zones that `origin` makes of the groups.

        Zones outside `zones` are ignored. `reload_after` in seconds: 0 looks once only.
        """
        self.folder = folder
        self.sources: dict[bytes, ZoneFile] = {}
        self._authority = authority
        self._clock = clock
        self._zones = zones
        self._pattern = pattern
        self._origin = origin
        self._reload_after = reload_after
        self._fallthrough = fallthrough
        self._poll = polling.Poll(clock, reload_after, self.scan)
        self._log = Logger(namespace="k8sdns.authorities.auto")

    def read_now(self) -> None:
        """Read every zone that the folder has now, and keep none."""
        for zone, path in self._found():
            ZoneFile(zone, path, self._clock, word="auto").read_now()

    def startService(self) -> Deferred[Any]:
        """Look through the folder, and go on looking; fires when what was found is read."""
        super().startService()  # type: ignore[no-untyped-call]
        self._poll.start()
        return gatherResults(self.scan())

    def stopService(self) -> None:
        """Stop looking; what is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._poll.stop()
        for source in self.sources.values():
            source.stopService()

    def scan(self) -> list[Deferred[None]]:
        """Take in new files and let go of those that went away."""
        found = dict(self._found())
        for zone in self.sources.keys() - found.keys():
            self.sources.pop(zone).stopService()
            self._log.info('Deleting zone "{zone}"', zone=names.to_text(zone))
        begun = []
        for zone, path in found.items():
            known = self.sources.get(zone)
            if known is not None and known.path == path:
                continue
            if known is not None:
                known.stopService()
            source = ZoneFile(zone, path, self._clock, reload_after=self._reload_after, word="auto")
            self.sources[zone] = source
            self._log.info(
                'Inserting zone "{zone}" from {path}', zone=names.to_text(zone), path=path
            )
            begun.append(source.startService())
        self._authority.serve(
            {zone: Served(source, self._fallthrough) for zone, source in self.sources.items()}
        )
        return begun

    def _found(self) -> Iterator[tuple[bytes, str]]:
        """Yield (zone, path) of the matching files; of two for a zone the upper one counts."""
        seen: set[bytes] = set()
        for folder, folders, files in os.walk(self.folder, onerror=self._unreadable):
            folders.sort()
            for file in sorted(files):
                zone = self._zone_of(file)
                if zone is None or zone in seen or len(seen) >= MAX_ZONES:
                    continue
                seen.add(zone)
                yield zone, os.path.join(folder, file)

    def _zone_of(self, file: str) -> bytes | None:
        match = self._pattern.search(file)
        if match is None:
            return None
        try:
            zone = names.from_text(
                _GROUP.sub(lambda group: match[_key(group[1])] or "", self._origin)
            )
        except (names.BadName, IndexError, TypeError):
            return None
        return zone if falls_through(self._zones, zone) else None

    def _unreadable(self, error: OSError) -> None:
        self._log.warn(
            "{folder} cannot be read: {error}", folder=error.filename, error=error.strerror
        )


def _key(text: str) -> int | str:
    return int(text) if text.isdigit() else text
