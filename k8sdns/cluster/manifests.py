"""Manifest files as a source of cluster objects.

Owns: reading files again when they change, without stopping answers, and what a broken file means.
Refuses to know YAML, the play of controllers, and what the sink does with objects.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator, LoopingCall, SchedulerStopped
from twisted.logger import Logger

from k8sdns.cluster.addresses import POD_CIDRS, SERVICE_CIDRS, Ranges
from k8sdns.cluster.declared import Declared, declare
from k8sdns.cluster.documents import ManifestError, Piece, decode, pieces_of, read
from k8sdns.cluster.folder import Changes, Folder
from k8sdns.cluster.model import KINDS, Thing, kind_of
from k8sdns.cluster.selectors import Labels, Selector
from k8sdns.cluster.simulation import Cluster

POLLED_EVERY = 0.3
"""Seconds between two looks at the files: a change shows within a second."""

MAX_FILE_OCTETS = 256 * 1024 * 1024
# Work and rest while files are read again: questions are answered in between.
_WORK_SECONDS, _REST_SECONDS = 0.002, 0.001


class ManifestSource:
    """Feeds `sink` with what manifests say, and keeps looking for changes.

    `paths` are files, folders and globs. `reactor` schedules the looks. Only objects of `kinds` are
    fed; `labels` selects Services, EndpointSlices and Pods, `namespace_labels` namespaces, as an
    API server would. `service_cidrs` and `pod_cidrs` hold at most one range of each family, the
    primary one first; raises `k8sdns.cluster.addresses.BadRange`. `is_simulated` false turns the
    play of the controllers off.

    `problems` holds one line for each thing that is wrong now, for a file ``file:line - message``
    under its path; the last good objects of a broken file stay in place.
    """

    log = Logger()

    def __init__(
        self,
        paths: Sequence[str],
        sink: Any,
        reactor: Any,
        *,
        kinds: Collection[str] = KINDS,
        labels: Selector = Selector(),  # noqa: B008 - it is immutable
        namespace_labels: Selector = Selector(),  # noqa: B008
        service_cidrs: Sequence[str] = (),
        pod_cidrs: Sequence[str] = (),
        is_simulated: bool = True,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = Folder(paths, wall_clock)
        self._sink = sink
        self._reactor = reactor
        self._kinds = tuple(kind for kind in KINDS if kind in kinds)
        self._labels = labels
        self._namespace_labels = namespace_labels
        self._service_ranges = Ranges(service_cidrs, SERVICE_CIDRS)
        self._pod_ranges = Ranges(pod_cidrs, POD_CIDRS)
        self._is_simulated = is_simulated
        self._files: dict[str, ManifestFile] = {}
        self._loop: LoopingCall | None = None
        self._cooperator: Cooperator | None = None
        self.problems: dict[str, str] = {}

    def start(self) -> None:
        """Read everything now, so that the kinds are synced on return; then watch."""
        for _ in self._take(self._folder.look()):
            pass
        self._cooperator = Cooperator(
            _budget, lambda step: self._reactor.callLater(_REST_SECONDS, step)
        )
        self._loop = LoopingCall(self._look)
        self._loop.clock = self._reactor
        self._loop.start(POLLED_EVERY, now=False).addErrback(
            lambda failure: self.log.failure("manifests are watched no more", failure)
        )

    def stop(self) -> None:
        """Stop watching; what the sink was given stays."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()
        if self._cooperator is not None:
            self._cooperator.stop()
        self._loop = self._cooperator = None

    def _look(self) -> Deferred[Any] | None:
        changes = self._folder.look()
        if not any(changes) or self._cooperator is None:
            return None
        done = self._cooperator.coiterate(self._take(changes))
        done.addErrback(lambda failure: failure.trap(SchedulerStopped))
        done.addErrback(lambda failure: self.log.failure("manifests were not taken", failure))
        return done

    def _take(self, changes: Changes) -> Iterator[None]:
        """Read what changed, and feed the sink; may pause at each yield."""
        for path in changes.gone:
            self._files.pop(path, None)
            self.problems.pop(path, None)
        for path in changes.changed:
            yield from self._read(path)
        self._set_problems("path", self._folder.missing(), "{}:1 - no such file or folder")
        yield from self._feed()

    def _read(self, path: str) -> Iterator[None]:
        known = self._files.get(path, ManifestFile(path))
        try:
            yield from known.read()
        except ManifestError as error:
            self._problem(path, str(error))
        except OSError as error:
            self._problem(path, f"{path}:1 - {error.strerror}")
        else:
            self.problems.pop(path, None)
        self._files[path] = known

    def _set_problems(self, topic: str, problems: Sequence[str], form: str = "{}") -> None:
        """Replace what is wrong under `topic`, which names no file."""
        places = {f"{topic} {number}": text for number, text in enumerate(problems)}
        for stale in [p for p in self.problems if p.startswith(f"{topic} ") and p not in places]:
            del self.problems[stale]
        for place, text in places.items():
            self._problem(place, form.format(text))

    def _problem(self, place: str, line: str) -> None:
        if self.problems.get(place) != line:
            self.problems[place] = line
            self.log.error("manifests: {line}", line=line)

    def _feed(self) -> Iterator[None]:
        """Give the sink the whole cluster; the sink sees to it that only changes matter."""
        declared = (thing for path in sorted(self._files) for thing in self._files[path].declared)
        cluster = Cluster(
            declared, self._service_ranges, self._pod_ranges, is_simulated=self._is_simulated
        )
        for kind in self._kinds:
            self._sink.listing(kind)
        for found in cluster.objects():
            if found is not None and self._is_wanted(*found):
                self._sink.upsert(found[0])
            yield
        for kind in self._kinds:
            self._sink.listed(kind)
        self._set_problems("range", cluster.problems)

    def _is_wanted(self, thing: Thing, labels: Labels) -> bool:
        kind = kind_of(thing)
        selector = self._namespace_labels if kind == "namespaces" else self._labels
        return kind in self._kinds and selector(labels)


class ManifestFile:
    """One file: what it declares, and which of its pieces need no second reading."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.declared: list[Declared] = []
        self._pieces: dict[bytes, list[Declared]] = {}

    def read(self) -> Iterator[None]:
        """Read the file, pausing between pieces; on an exception everything is as it was before.

        Raises `ManifestError` and `OSError`.
        """
        with open(self.path, "rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
        if len(octets) > MAX_FILE_OCTETS:
            raise ManifestError("the file is larger than 256 MiB", self.path, 1)
        fresh: dict[bytes, list[Declared]] = {}
        declared: list[Declared] = []
        for piece in pieces_of(decode(octets, self.path), self.path):
            key = _digest(piece)
            if key not in fresh:
                fresh[key] = self._pieces.get(key) or self._declare(piece)
            declared.extend(fresh[key])
            yield
        self._pieces, self.declared = fresh, declared

    def _declare(self, piece: Piece) -> list[Declared]:
        return [declare(raw, self.path, piece.line) for raw in read(piece, self.path)]


def _digest(piece: Piece) -> bytes:
    return hashlib.blake2b(f"{piece.kind}\n{piece.text}".encode(), digest_size=16).digest()


def _budget() -> Callable[[], bool]:
    """Return what tells the cooperator to pause: a few milliseconds of work at a time."""
    end = time.perf_counter() + _WORK_SECONDS
    return lambda: time.perf_counter() >= end
