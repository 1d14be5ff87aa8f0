"""A client of the fake API server in the same process: no sockets, one virtual clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.web.client import Agent, FileBodyProducer
from twisted.web.http_headers import Headers

from k8sdns.testing.apiserver import FakeApiServer


class Collector(Protocol):
    """A response body: `octets` so far, `ended` with the reason's type once it is over."""

    def __init__(self):
        self.octets = b""
        self.ended = None

    def dataReceived(self, data):
        self.octets += data

    def connectionLost(self, reason):
        self.ended = reason.type


@dataclass
class Reply:
    code: int
    headers: Headers
    body: Collector
    failure: object = None

    @property
    def json(self):
        return json.loads(self.body.octets)

    @property
    def events(self):
        """The events of a watch so far, as (type, object); complete lines only."""
        lines = self.body.octets.split(b"\n")[:-1]
        return [(line["type"], line["object"]) for line in map(json.loads, lines)]

    @property
    def brief(self):
        """The events as (type, name); a bookmark's name is ""."""
        return [(kind, thing["metadata"].get("name", "")) for kind, thing in self.events]

    def header(self, name):
        return (self.headers.getRawHeaders(name) or [None])[0]


@dataclass
class Client:
    clock: Clock
    server: FakeApiServer
    headers: dict = field(default_factory=dict)

    def __call__(self, path, method="GET", body=None, **headers):
        """Ask, and return what came at once; None while no header has arrived."""
        agent = Agent.usingEndpointFactory(self.clock, self.server.endpoint())
        sent = {"Accept": "application/json", **self.headers}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        producer = None
        if body is not None:
            octets = body if isinstance(body, bytes) else json.dumps(body).encode()
            producer = Whole(octets)
            sent.setdefault("Content-Type", "application/json")
        raw = Headers({name: [value] for name, value in sent.items()})
        waiting = agent.request(method.encode(), b"http://api" + path.encode(), raw, producer)
        replies, failures = [], []
        waiting.addCallbacks(
            lambda response: replies.append(self._reply(response)), failures.append
        )
        self.clock.advance(0)
        if failures:
            return Reply(0, Headers(), Collector(), failures[0])
        if not replies:
            return Pending(replies, failures)
        return replies[0]

    def _reply(self, response):
        body = Collector()
        response.deliverBody(body)
        return Reply(response.code, response.headers, body)


@dataclass
class Pending:
    """A request without an answer yet; they appear in these lists."""

    replies: list
    failures: list


class Whole(FileBodyProducer):
    """A request body written at once."""

    def __init__(self, octets):
        self.length = len(octets)
        self._octets = octets

    def startProducing(self, consumer):
        from twisted.internet.defer import succeed

        consumer.write(self._octets)
        return succeed(None)

    def stopProducing(self):
        pass

    pauseProducing = resumeProducing = stopProducing


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    return FakeApiServer(clock)


@pytest.fixture
def ask(clock, server):
    return Client(clock, server)


def service(name, namespace="shop", **more):
    """A Service as a manifest has it; `labels` go into its metadata, the rest into its spec."""
    metadata = {"name": name, "namespace": namespace}
    if "labels" in more:
        metadata["labels"] = more.pop("labels")
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": more}


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.fixture(name="service")
def _service():
    return service


@pytest.fixture(name="namespace")
def _namespace():
    return namespace
