"""Which files a list of paths stands for now, and which of them have changed.

Owns: globs, folders, symbolic links, and telling one state of a file from another.
Refuses to know what is in a file.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

Signature: TypeAlias = tuple[int, int, int, int]
"""(mtime in ns, size in bytes, inode, device)."""

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 20_000
_MAX_DEPTH = 8
# A file that was written within the resolution of its time stamp can change without showing it.
_SETTLED_AFTER = 0.1


class Changes(NamedTuple):
    """What one look found: `changed` files in sorted order, and files that are `gone`."""

    changed: tuple[str, ...]
    gone: tuple[str, ...]


class Folder:
    """The files under `paths`: files, folders (all levels, hidden names left out), and globs.

    A folder gives its *.yaml, *.yml and *.json; a file that is named itself may be called anything.
    Links are followed by path at every look, so that the swap of a ConfigMap's links is seen.
    `wall_clock` gives Unix seconds, as files are dated by.
    """

    def __init__(self, paths: Sequence[str], wall_clock: Callable[[], float] = time.time) -> None:
        self._paths = tuple(paths)
        self._clock = wall_clock
        self._known: dict[str, Signature | None] = {}
        self._missed: set[str] = set()

    def missing(self) -> list[str]:
        """Return the paths that stand for nothing at all."""
        return [path for path in self._paths if not _matches(path)]

    def look(self) -> Changes:
        """Return what has changed since the last look.

        A file must be missing twice to be gone: some editors remove a file before they write it.
        """
        found = dict(self._files())
        changed = [path for path, seen in found.items() if self._is_new(path, seen)]
        absent = self._known.keys() - found.keys()
        gone = absent & self._missed
        self._missed = absent - gone
        for path in gone:
            del self._known[path]
        return Changes(tuple(sorted(changed)), tuple(sorted(gone)))

    def _is_new(self, path: str, seen: Signature) -> bool:
        if self._known.get(path) == seen:
            return False
        is_settled = abs(self._clock() - seen[0] / 1e9) > _SETTLED_AFTER
        self._known[path] = seen if is_settled else None
        return True

    def _files(self) -> Iterator[tuple[str, Signature]]:
        count = 0
        for path in self._paths:
            for match in _matches(path):
                for file in _below(match, 0):
                    signature = _signature(file)
                    if signature is not None:
                        yield file, signature
                        count += 1
                    if count >= MAX_FILES:
                        return


def _matches(path: str) -> list[str]:
    if glob.has_magic(path):
        return sorted(glob.glob(path, recursive=True))
    return [path] if os.path.exists(path) else []


def _below(path: str, depth: int) -> Iterator[str]:
    """Yield `path`, or, if it is a folder, the manifests in it."""
    try:
        entries = sorted(os.listdir(path))
    except NotADirectoryError:
        yield path
        return
    except OSError:
        return
    for name in entries if depth < _MAX_DEPTH else ():
        below = os.path.join(path, name)
        if name.startswith("."):
            continue
        if name.endswith(SUFFIXES) and not os.path.isdir(below):
            yield below
        elif os.path.isdir(below):
            yield from _below(below, depth + 1)


def _signature(file: str) -> Signature | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
