"""Everything that can go wrong with the API server of `churn`, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdns.testing.apiserver import ApiError

if TYPE_CHECKING:
    from churnapi import Cluster

RESTORED = 1000  # changes that a restored backup lacks


class Faults:
    """Everything that goes wrong, by name."""

    def __init__(self, cluster: Cluster, reactor: Any) -> None:
        self._cluster, self._reactor = cluster, reactor
        self._server, self._draw = cluster.server, cluster.draw

    def do(self, kind: str) -> bool:
        """Let it happen; False where it cannot now."""
        if self._cluster.is_waiting:
            # What is restored has to be seen by every watch, or nobody could tell it from the lost.
            return False
        did: object = getattr(self, "_" + kind)()
        return did is not False

    def calm(self) -> None:
        """Take back what has not happened yet."""
        conduct = self._server.conduct
        self._server.faults.clear()
        self._server.accept()
        conduct.watch_list = conduct.initial_events_end = True
        conduct.gone_over_http = conduct.short = False
        conduct.bookmark_every = 60.0

    def _cut_watches(self) -> None:
        self._server.disconnect(self._draw.choice(("reset", "close")))

    def _end_watches(self) -> None:
        self._server.end_watches()

    def _cut_in_an_event(self) -> None:
        self._server.faults.cut(self._draw.randrange(400, 20_000), verb="watch", times=3)
        self._server.disconnect()

    def _gone(self) -> None:
        self._behind()
        self._server.conduct.gone_over_http = self._draw.random() < 0.5

    def _behind(self) -> None:
        # Something newer than any watch has seen, so that none can go on from where it was.
        self._server.disconnect()
        for _ in range(50):
            self._cluster.change()
        self._server.compact()

    def _cut_list(self) -> None:
        for verb in ("list", "watch"):
            self._server.faults.cut(self._draw.randrange(400, 90_000), verb=verb, times=3)
        self._behind()

    def _throttled(self) -> None:
        # Not of lists: an audit that is told so stays away for ten of its periods.
        self._server.faults.too_many_requests(self._draw.randrange(1, 4), verb="watch", times=3)
        self._server.disconnect()

    def _unavailable(self) -> None:
        self._server.faults.unavailable(self._draw.choice((None, 1, 2)), times=4)
        self._behind()

    def _internal_error(self) -> None:
        self._server.faults.fail(ApiError(500, "InternalError", "etcd is away"), times=4)
        self._server.disconnect()

    def _bad_gateway(self) -> None:
        self._server.faults.bad_gateway(times=4)
        self._server.disconnect()

    def _half_open(self) -> None:
        self._server.faults.half_open(verb="watch", times=3)
        self._server.disconnect()

    def _half_open_list(self) -> None:
        for verb in ("list", "watch"):
            self._server.faults.half_open(2000, verb=verb, times=1)
        self._behind()

    def _restart(self) -> None:
        self._server.crash(self._draw.choice(("reset", "close")))
        if self._draw.random() < 0.5:
            self._server.compact()
        self._reactor.callLater(self._draw.uniform(1, 8), self._server.accept)

    def _restore(self) -> bool:
        """Come back as some while ago: an etcd restored from a backup."""
        server, back = self._server, self._server.revision - RESTORED
        if any(shelf.floor > back for shelf in server.storage.shelves()) or back < 1:
            return False
        self.calm()
        # Once the new history is longer than the lost one, nobody could tell them apart.
        self._cluster.wait_for_watches()
        server.crash()
        server.rewind(back)
        for thing in server.objects("Namespace"):
            if "deletionTimestamp" in thing["metadata"]:
                server.writer.terminate(("", thing["metadata"]["name"]))
        self._cluster.mend()
        self._reactor.callLater(1, server.accept)
        return True

    def _broken_object(self) -> bool:
        return self._cluster.break_one()

    def _mended_objects(self) -> None:
        self._cluster.mend()

    def _repeated_events(self) -> None:
        for watch in self._server.open_watches():
            for change in list(watch.stream.shelf.history)[-1:]:
                if change.type != "DELETED":
                    watch.stream.event("MODIFIED", change.thing)

    def _late_events(self) -> None:
        """Send something from the past: a server that has gone back, as far as one can tell."""
        for watch in self._server.open_watches():
            for change in list(watch.stream.shelf.history)[-30:-20]:
                if change.type != "DELETED":
                    watch.stream.event("MODIFIED", change.thing)

    def _old_bookmark(self) -> None:
        for watch in self._server.open_watches("services"):
            version = {"resourceVersion": str(max(1, self._server.revision - 500))}
            empty = {"kind": "Service", "apiVersion": "v1", "metadata": version, "spec": {}}
            watch.stream.event("BOOKMARK", empty)

    def _no_bookmarks(self) -> None:
        self._server.conduct.bookmark_every = 1e6
        self._server.disconnect()

    def _short_watches(self) -> None:
        self._server.conduct.short = True
        self._server.end_watches()
        self._reactor.callLater(3, setattr, self._server.conduct, "short", False)

    def _no_watch_list(self) -> None:
        self._server.conduct.watch_list = False
        self._behind()

    def _endless_watch_list(self) -> None:
        self._server.conduct.initial_events_end = False
        self._behind()
