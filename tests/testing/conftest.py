"""Clients of API servers: of the fake one in this process, and of any cluster's over a socket.

The first needs no sockets and has one virtual clock. The second asks the fake one in a process of
its own and, if K8SDNS_CLUSTER names a kubeconfig, a real cluster (its current context; token or
client certificate), where it makes one namespace a test file and deletes it at the end.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
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
    spec = {"ports": [{"port": 80}]} | more
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.fixture(name="service")
def _service():
    return service


@pytest.fixture(name="namespace")
def _namespace():
    return namespace


# -- a real server, or the fake one in a process of its own --------------------------------------

SECONDS = 20
JSON = "application/json"


@dataclass
class ApiReply:
    code: int
    headers: http.client.HTTPMessage
    json: dict | bytes

    @property
    def version(self):
        return self.json["metadata"]["resourceVersion"]


class Api:
    """A blocking client of one cluster, one connection a request."""

    def __init__(self, kubeconfig):
        config = yaml.safe_load(Path(kubeconfig).read_text())
        context = self._named(config, "contexts", config["current-context"])["context"]
        cluster = self._named(config, "clusters", context["cluster"])["cluster"]
        user = self._named(config, "users", context["user"])["user"]
        self._url = urlsplit(cluster["server"])
        self._tls = self._context(cluster, user) if self._url.scheme == "https" else None
        self._headers = {"Accept": "application/json"}
        if "token" in user:
            self._headers["Authorization"] = f"Bearer {user['token']}"

    @staticmethod
    def _named(config, section, name):
        return next(one for one in config[section] if one["name"] == name)

    def _context(self, cluster, user):
        context = ssl.create_default_context()
        authority = self._pem(cluster, "certificate-authority")
        if authority:
            context.load_verify_locations(cadata=authority.decode())
        certificate = self._pem(user, "client-certificate")
        if certificate:
            with tempfile.NamedTemporaryFile() as file:
                file.write(certificate + b"\n" + self._pem(user, "client-key"))
                file.flush()
                context.load_cert_chain(file.name)
        return context

    @staticmethod
    def _pem(section, name):
        if f"{name}-data" in section:
            return base64.b64decode(section[f"{name}-data"])
        return Path(section[name]).read_bytes() if name in section else b""

    def _connect(self):
        where = (self._url.hostname, self._url.port)
        if self._tls is None:
            return http.client.HTTPConnection(*where, timeout=SECONDS)
        return http.client.HTTPSConnection(*where, timeout=SECONDS, context=self._tls)

    def __call__(
        self,
        path,
        method="GET",
        body=None,
        content_type="application/json",
        accept="application/json",
    ):
        with contextlib.closing(self._connect()) as connection:
            octets = None if body is None else json.dumps(body)
            headers = self._headers | ({"Content-Type": content_type} if octets else {})
            headers["Accept"] = accept
            connection.request(method, path, octets, headers)
            response = connection.getresponse()
            content = response.read()
            is_json = response.headers.get_content_type() == JSON
            value = json.loads(content) if is_json else content
            return ApiReply(response.status, response.headers, value)

    @contextlib.contextmanager
    def watch(self, path):
        """An open watch: the response, whose lines can be read as they come."""
        with contextlib.closing(self._connect()) as connection:
            connection.request("GET", path, headers=self._headers)
            yield connection.getresponse()


@contextlib.contextmanager
def _fake(folder):
    path = folder / "kubeconfig"
    command = ["-m", "k8sdns.testing.apiserver", "--port", "0", "--tls", "--kubeconfig", str(path)]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE)
    try:
        assert b"https://127.0.0.1:" in process.stdout.readline()
        yield path
    finally:
        process.terminate()
        process.communicate(timeout=SECONDS)


@pytest.fixture(scope="module", params=["fake", "real"])
def api(request, tmp_path_factory):
    if request.param == "fake":
        with _fake(tmp_path_factory.mktemp("api")) as kubeconfig:
            yield Api(kubeconfig)
        return
    kubeconfig = os.environ.get("K8SDNS_CLUSTER")
    if not kubeconfig:
        pytest.skip("K8SDNS_CLUSTER names no kubeconfig of a real cluster")
    yield Api(kubeconfig)


@pytest.fixture(scope="module")
def place(api):
    """A namespace of this run's own, gone afterwards."""
    name = f"k8sdns-conformity-{uuid.uuid4().hex[:8]}"
    thing = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert api("/api/v1/namespaces", "POST", thing).code == 201
    yield name
    api(f"/api/v1/namespaces/{name}", "DELETE")


@pytest.fixture
def services(api, place):
    """The path of the namespace's Services, all of them gone afterwards."""
    path = f"/api/v1/namespaces/{place}/services"
    yield path
    for item in api(path).json["items"]:
        api(f"{path}/{item['metadata']['name']}", "DELETE")
