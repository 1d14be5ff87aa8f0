"""The fake API server: everything of this package in one object.

Owns: the parts and their lifetimes (ports, open watches). Refuses to know: how each part works.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOFactory

from k8sdns.testing.apiserver.access import Access
from k8sdns.testing.apiserver.faults import Faults, FaultyFactory, How
from k8sdns.testing.apiserver.memory import Cut, MemoryEndpoint, whole
from k8sdns.testing.apiserver.requestlog import RequestLog
from k8sdns.testing.apiserver.resources import Catalogue, Object
from k8sdns.testing.apiserver.responses import WatchResponse
from k8sdns.testing.apiserver.site import ApiSite
from k8sdns.testing.apiserver.storage import Storage
from k8sdns.testing.apiserver.tls import Authority
from k8sdns.testing.apiserver.watching import WatchConduct
from k8sdns.testing.apiserver.writing import Writer

BACKLOG = 128


class FakeApiServer:
    """A Kubernetes API server in this process, with nothing behind it but memory.

    `reactor` opens sockets; `clock` (default: the reactor) is the server's time: time-outs,
    bookmarks, token expiry. Public parts: `access` (tokens, certificates, roles), `faults`,
    `conduct` (of watches), `log`, `watches` (the open ones), `storage`, `catalogue`.
    """

    def __init__(self, reactor: Any, clock: IReactorTime | None = None) -> None:
        self.reactor = reactor
        self.clock: Any = clock or reactor
        self.catalogue = Catalogue()
        self.storage = Storage()
        self.writer = Writer(self.storage, self.catalogue, self.clock)
        self.access = Access(self.clock.seconds)
        self.faults = Faults()
        self.conduct = WatchConduct()
        self.log = RequestLog()
        self.watches: list[WatchResponse] = []
        self.factory = FaultyFactory(ApiSite(self), self.clock)
        self.tls: Authority | None = None
        self._port: IListeningPort | None = None
        self._where = ("127.0.0.1", 0)
        self._is_refusing = False

    # objects

    def apply(self, thing: Object) -> Object:
        """Store an object, whatever was there; returns it as stored. Equal objects change nothing.

        Raises `ValueError` for what is no object, `ApiError` for one without a name. Nothing else
        is checked: what it stores may be what no server would take. The namespace need not exist.
        """
        return self.writer.put(self.catalogue.of(thing), thing, checked=False)

    def apply_text(self, text: str | bytes) -> list[Object]:
        """Store every object of a YAML or JSON text (many documents, Lists)."""
        return [self.apply(thing) for thing in _objects(text)]

    def load(self, path: str | os.PathLike[str]) -> int:
        """Store every object of a file, or of a folder's YAML and JSON files; returns how many."""
        count = 0
        for file in _files(Path(path)):
            try:
                count += len(self.apply_text(file.read_bytes()))
            except (ValueError, yaml.YAMLError) as error:
                raise ValueError(f"{file}: {error}") from error
        return count

    def delete(self, kind: str, namespace: str, name: str) -> bool:
        """Take one object away; False if it was not there. Unknown kinds raise `KeyError`."""
        resource = self.catalogue.named(kind)
        key = (namespace or "default" if resource.namespaced else "", name)
        if key not in self.storage.shelf(resource).objects:
            return False
        self.writer.delete(resource, key)
        return True

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The stored object, or None."""
        resource = self.catalogue.named(kind)
        return self.storage.shelf(resource).objects.get((namespace, name))

    def objects(self, kind: str) -> list[Object]:
        """The stored objects of a kind, by key."""
        found = self.storage.shelf(self.catalogue.named(kind)).objects
        return [found[key] for key in sorted(found)]

    @property
    def revision(self) -> int:
        """The newest resourceVersion."""
        return self.storage.revision

    def compact(self, kind: str | None = None) -> None:
        """Forget the history (of one kind, or all): who watches from before now gets 410 Gone."""
        for resource in self.catalogue:
            if kind in (None, resource.kind, resource.plural):
                self.storage.shelf(resource).compact(self.storage.revision)

    def begin_at(self, revision: int) -> None:
        """Go on from `revision`, whose past is forgotten: an etcd that was compacted.

        For a server that takes the place of another one: who watched that one is told to list anew.
        """
        self.storage.revision = revision
        self.compact()

    def rewind(self, revision: int) -> None:
        """Go back to how things were at `revision`, as an etcd that is restored from a backup.

        Open watches are told nothing: `crash` first. 410 if that revision is forgotten.
        """
        self.storage.rewind(revision)

    # connections

    def listen(
        self, port: int = 0, *, tls: Authority | None = None, interface: str = "127.0.0.1"
    ) -> IListeningPort:
        """Serve on a port (0: any free one), over TLS when `tls` is given."""
        self.tls = tls
        self._port = self.reactor.listenTCP(port, self._outermost(), BACKLOG, interface)
        address: Any = self._port.getHost()
        self._where = (interface, address.port)
        return self._port

    def _outermost(self) -> Any:
        if self.tls is None:
            return self.factory
        return TLSMemoryBIOFactory(self.tls, False, self.factory, self.reactor)

    @property
    def url(self) -> str:
        """Where it serves: "http://127.0.0.1:34567"; the same after `refuse` and `accept`."""
        host, port = self._where
        scheme = "https" if self.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def endpoint(self, cut: Cut = whole) -> MemoryEndpoint:
        """A way to connect without sockets; `cut` cuts what clients receive into pieces.

        Over TLS when `tls` was set before.
        """
        return MemoryEndpoint(self._outermost(), self.clock, lambda: self._is_refusing, cut)

    def refuse(self) -> Deferred[None]:
        """Close the port: connections are refused. Open ones stay."""
        self._is_refusing = True
        port, self._port = self._port, None
        return succeed(None) if port is None else _closed(port)

    def accept(self, *, roles_after: float = 0.0) -> None:
        """Open the same port again, if there ever was one.

        `roles_after`: seconds until the roles are read; before, users with a role get 403. A real
        server that restarts does that for some seconds.
        """
        self._is_refusing = False
        self.access.roles_read_at = self.clock.seconds() + roles_after
        if self._where[1] and self._port is None:
            self.listen(self._where[1], tls=self.tls, interface=self._where[0])

    def disconnect(self, how: How = "reset", kind: str | None = None) -> int:
        """Break every open watch (of a kind) off; returns how many there were."""
        found = self.open_watches(kind)
        for watch in found:
            watch.break_off(how)
        return len(found)

    def end_watches(self, kind: str | None = None) -> int:
        """End every open watch (of a kind) cleanly, as at its timeoutSeconds."""
        found = self.open_watches(kind)
        for watch in found:
            watch.stream.finish()
        return len(found)

    def silence(self, kind: str | None = None) -> int:
        """Let every open watch (of a kind) say nothing more, unnoticed; returns how many."""
        found = self.open_watches(kind)
        for watch in found:
            watch.fall_silent()
        return len(found)

    def open_watches(self, kind: str | None = None) -> list[WatchResponse]:
        """The open watches, of a kind or plural if given."""
        return [
            watch
            for watch in self.watches
            if kind in (None, watch.stream.shelf.resource.kind, watch.stream.shelf.resource.plural)
        ]

    def crash(self, how: How = "reset") -> Deferred[None]:
        """Refuse connections and break every open one off; `accept` brings the server back.

        What it comes back with is as it was; `compact` and `rewind` make it forget.
        """
        refused = self.refuse()
        for connection in list(self.factory.protocols):
            connection.break_off(how)
        return refused

    def stop(self) -> Deferred[None]:
        """Close the port and every connection at once; nothing is left on the reactor."""
        for watch in list(self.watches):
            watch.stream.stop()
        for connection in list(self.factory.protocols):
            connection.transport.abortConnection()
        self.writer.stop()
        return self.refuse()


async def _await(port: IListeningPort) -> None:
    stopping = port.stopListening()
    if isinstance(stopping, Deferred):
        await stopping


def _closed(port: IListeningPort) -> Deferred[None]:
    return Deferred.fromCoroutine(_await(port))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in (".yaml", ".yml", ".json") and not file.name.startswith(".")
    )


def _objects(text: str | bytes) -> Iterator[Object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for document in yaml.load_all(text, Loader=loader):
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ValueError("a document is no Kubernetes object")  # noqa: TRY004
        if str(document.get("kind", "")).endswith("List") and "items" in document:
            for item in document["items"] or []:
                yield _whole(item, document)
        else:
            yield document


def _whole(item: Object, of: Object) -> Object:
    """An item of a typed List, whose kind the List says."""
    if "kind" in item:
        return item
    kind = str(of["kind"]).removesuffix("List")
    return {"apiVersion": of.get("apiVersion", "v1"), "kind": kind} | item
