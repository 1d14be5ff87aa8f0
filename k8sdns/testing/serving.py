"""A Corefile served without sockets: octets in, octets out, and a clock that stands still.

Owns building a server in the test's own process from a text, files, a cluster and upstreams that
are all the test's. What runs is what ``twistd k8sdns`` runs, less listeners and privileges.
Refuses to know any particular directive, and test frameworks.
"""

from __future__ import annotations

import tempfile
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import dns.message
import yaml
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from k8sdns import directives as words, logs, plan as plans
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.corefile.directive import Directive
from k8sdns.corefile.source import CorefileText
from k8sdns.metrics import Metrics
from k8sdns.plan import Plan
from k8sdns.server.late import Late
from k8sdns.server.server import Server
from k8sdns.testing.building import started
from k8sdns.testing.network import FakeNetwork, FakeReactor
from k8sdns.testing.upstream import Upstream, let_answer
from k8sdns.waiting import Pending

CLIENT: Final = "192.0.2.9"
OWN_ADDRESS: Final = ("192.0.2.253", 53)
CLUSTER_FILE: Final = "cluster.yaml"
STEP: Final = 0.1  # seconds; so that timers that timers set fire when they would

Cluster = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]


class NoReply(AssertionError):
    """No reply was sent, or none yet."""


class Exchange:
    """One query, and what came back: `reply` is None until `is_over`, and after it for silence."""

    def __init__(self, query: dns.message.Message, result: Any) -> None:
        self.query = query
        self.reply: dns.message.Message | None = None
        self.is_over = False
        if isinstance(result, Pending):
            result.way_back = self
        elif isinstance(result, Deferred):
            result.addBoth(self._ended)
        else:
            self._ended(result)

    def send_reply(self, reply: bytes | None, _pending: Pending) -> None:
        """Take what a Pending came to."""
        self._ended(reply)

    def _ended(self, result: Any) -> None:
        self.is_over = True
        if isinstance(result, Failure):
            result.raiseException()
        if result is not None:
            self.reply = dns.message.from_wire(result)


class Served:
    """What `serve` returns; ends with `stop`, or as a context manager.

    `clock` moves by `advance` alone. `lines` are the log lines so far as they would be written,
    `halted` the messages of directives that wanted the process to end.
    """

    def __init__(
        self,
        planned: Plan,
        folder: tempfile.TemporaryDirectory[str],
        clock: FakeReactor,
        upstreams: Mapping[str, Upstream],
    ) -> None:
        self._temporary = folder
        self.folder = Path(folder.name)
        self.clock = clock
        self.metrics = Metrics()
        self.lines: list[str] = []
        self.halted: list[str] = []
        self.network = FakeNetwork(clock)
        self._upstreams = upstreams
        self._observer = cast("ILogObserver", self._observe)
        globalLogPublisher.addObserver(self._observer)
        try:
            self._start(planned)
        except BaseException:
            self._clean()
            raise

    def _start(self, planned: Plan) -> None:
        self.generation = started(
            planned, self.network, self.metrics, Randomness(), self.halted.append
        )
        self.servers: list[Server] = [made for made, _ in self.generation.servers.values()]
        self._datagrams = [server.repeater() for server in self.servers]

    def send(
        self,
        query: dns.message.Message,
        *,
        client: str = CLIENT,
        tcp: bool = False,
        listener: int = 0,
    ) -> Exchange:
        """Put a whole query to the `listener`-th listener of the Corefile."""
        respond: Any = self._datagrams[listener].respond
        if tcp:
            respond = self.servers[listener].respond_to_stream
        reply = respond(query.to_wire(), (client, 4321), OWN_ADDRESS)
        # Nothing else is in a socket that this query could wait for.
        exchange = Exchange(query, reply.begin() if isinstance(reply, Late) else reply)
        let_answer(self.network, self._upstreams)
        return exchange

    def ask(
        self,
        name: str,
        qtype: str = "A",
        qclass: str = "IN",
        *,
        client: str = CLIENT,
        tcp: bool = False,
        listener: int = 0,
        **query: Any,
    ) -> dns.message.Message:
        """Return the reply to one question; `query` is what `dns.message.make_query` takes.

        Raises `NoReply` where none is sent, and where an answer must still be waited for: use
        `send` and `advance` then.
        """
        made = dns.message.make_query(name, qtype, qclass, **query)
        exchange = self.send(made, client=client, tcp=tcp, listener=listener)
        if exchange.reply is None:
            state = "was sent" if exchange.is_over else "came yet: send() and advance() wait"
            raise NoReply(f"no reply to {name} {qtype} {state}")
        return exchange.reply

    def advance(self, seconds: float) -> None:
        """Let time pass; upstreams answer meanwhile."""
        whole, rest = divmod(seconds, STEP)
        for step in [*[STEP] * int(whole), rest]:
            self.clock.advance(step)
            let_answer(self.network, self._upstreams)

    def write(self, name: str, content: Cluster) -> Path:
        """Replace a file in one move, as configuration is; what is no text becomes YAML."""
        path = self.folder / name
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(as_text(content), encoding="utf-8")
        fresh.replace(path)
        return path

    def total(self, metric: str) -> float:
        """Return a metric's value, all label sets together; of a histogram how much it saw."""
        self.metrics.refresh()
        for each, counts in self.metrics.counts.items():
            if each.name == metric:
                return float(sum(counts.values()))
        for each, histogram in self.metrics.histograms.items():
            if each.name == metric:
                return float(sum(map(sum, histogram.counts.values())))
        return 0.0

    def stop(self) -> None:
        """Stop every service and remove the files."""
        for service in reversed(self.generation.services):
            service.stopService()
        Deferred.fromCoroutine(self.generation.share.release())
        self._clean()

    def _clean(self) -> None:
        globalLogPublisher.removeObserver(self._observer)
        self._temporary.cleanup()

    def _observe(self, event: LogEvent) -> None:
        self.lines.append(logs.line_of(event))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(
    corefile: str,
    *,
    directives: Iterable[Directive] = (),
    files: Mapping[str, Cluster] | None = None,
    cluster: Cluster | None = None,
    upstreams: Mapping[str, Upstream] | None = None,
    clock: FakeReactor | None = None,
) -> Served:
    """Serve a Corefile's text; raises `CorefileError` as the command would say it.

    `directives` are words beside those that are installed. `files` are written to a folder in
    which the Corefile's relative paths start. `cluster`, manifests as text or as dicts, becomes the
    file ``cluster.yaml``: say ``manifests cluster.yaml`` under ``kubernetes``. `upstreams` answer
    at their addresses; at any other nobody does.
    """
    folder = tempfile.TemporaryDirectory(prefix="k8sdns-testing-")
    try:
        _fill(Path(folder.name), files or {}, cluster)
        planned = _planned(corefile, directives, folder.name)
    except BaseException:
        folder.cleanup()
        raise
    return Served(planned, folder, clock or FakeReactor(), upstreams or {})


def _planned(corefile: str, directives: Iterable[Directive], folder: str) -> Plan:
    known = ChainMap({each.word: each for each in directives}, cast("Any", words.discovered()))
    source = CorefileText(corefile, "Corefile", None)
    return plans.plan(source, known, default_port=53, environ={}, folder=folder)


def _fill(folder: Path, files: Mapping[str, Cluster], cluster: Cluster | None) -> None:
    contents = dict(files)
    if cluster is not None:
        contents[CLUSTER_FILE] = cluster
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_text(content), encoding="utf-8")


def as_text(content: Cluster) -> str:
    """Return a file's text; a dict becomes one YAML document, a sequence of them several."""
    if isinstance(content, str):
        return content
    documents = [content] if isinstance(content, Mapping) else list(content)
    return yaml.safe_dump_all(documents)
