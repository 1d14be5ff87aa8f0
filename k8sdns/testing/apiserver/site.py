"""HTTP in: who asks for what, may they, and which part of the server answers.

Owns: the order of the checks (credentials, faults, role, request) and the request log's lines.
Refuses to know: sockets and TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from cryptography.x509.oid import NameOID
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from k8sdns.testing.apiserver import control, discovery, options, tables
from k8sdns.testing.apiserver.faults import Fault
from k8sdns.testing.apiserver.listing import (
    is_metadata_asked,
    list_objects,
    metadata_list,
    metadata_of,
)
from k8sdns.testing.apiserver.requestlog import Seen
from k8sdns.testing.apiserver.resources import Object
from k8sdns.testing.apiserver.responses import (
    WatchResponse,
    connection_of,
    send,
    send_error,
    send_json,
    send_no_page,
)
from k8sdns.testing.apiserver.routes import Target, is_served, target
from k8sdns.testing.apiserver.scale import is_scalable, scale_of, scaled
from k8sdns.testing.apiserver.shapes import shaped
from k8sdns.testing.apiserver.statuses import (
    ApiError,
    bad_request,
    method_not_allowed,
    no_manager,
    no_such_path,
)
from k8sdns.testing.apiserver.watching import WatchStream

if TYPE_CHECKING:
    from k8sdns.testing.apiserver.server import FakeApiServer

_HEALTH = ("/healthz", "/livez", "/readyz")
_log = Logger()


class ApiSite(Site):
    """The HTTP factory of one fake server: HTTP/1.1 only, no time-outs of its own."""

    noisy = False

    def __init__(self, server: FakeApiServer) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            Front(server), timeout=None, reactor=server.reactor
        )

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on."""
        return [b"http/1.1"]

    def log(self, request: Any) -> None:
        """Nothing: the server's own log has it."""


class Front(Resource):
    """Every request, in."""

    isLeaf = True

    def __init__(self, server: FakeApiServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._server = server

    def render(self, request: Request) -> Any:
        """Answer, now or later."""
        try:
            Exchange(self._server, request).begin()
        except ApiError as error:
            send_error(request, error)
        except Exception as error:  # noqa: BLE001 - a bug here must not look like a dead server
            _log.failure("the fake API server failed")
            send_error(request, ApiError(500, "InternalError", f"Internal error: {error!r}"))
        return NOT_DONE_YET


class Exchange:
    """One request and its answer."""

    def __init__(self, server: FakeApiServer, request: Request) -> None:
        self._server = server
        self._request = request
        self._path = request.path.decode("utf-8", "replace")
        self._method = request.method.decode("ascii", "replace")
        self._query = _query(request)
        self._seen = Seen(
            at=server.clock.seconds(),
            method=self._method,
            path=self._path,
            query=self._query,
            accept=request.getHeader("Accept") or "",
            agent=request.getHeader("User-Agent") or "",
        )
        server.log.append(self._seen)
        request.notifyFinish().addBoth(self._finished)

    def _finished(self, _: object) -> None:
        self._seen.code = self._request.code
        self._seen.sent = self._request.sentLength
        self._seen.ended_at = self._server.clock.seconds()

    def begin(self) -> None:
        """Find what is asked and answer it, or do what a fault says instead."""
        if self._path in _HEALTH:
            self._request.setHeader("Content-Type", "text/plain; charset=utf-8")
            send(self._request, 200, b"ok")
            return
        if self._path.startswith("/_ctl/"):
            self._control()
            return
        self._seen.user = self._user()
        found = self._target()
        fault = self._server.faults.take(self._seen.verb, self._seen.resource)
        connection = connection_of(self._request)
        if connection is not None:
            connection.begin(fault)
        if fault is not None and fault.delay:
            clock = self._server.clock
            clock.callLater(fault.delay, self._later, found, fault)
        else:
            self._answer(found, fault)

    def _user(self) -> str:
        header = self._request.getHeader("Authorization") or ""
        return self._server.access.user(header, _common_name(self._request))

    def _target(self) -> Target | None:
        """The target of a resource path; None for discovery, which everybody may read."""
        found = discovery.document(self._path, self._server.catalogue)
        if found is not None:
            if self._method not in ("GET", "HEAD"):
                raise method_not_allowed()
            self._seen.verb = "discovery"
            return None
        if not is_served(self._path, self._server.catalogue):
            return None
        what = target(self._path, self._server.catalogue)
        self._seen.verb = what.verb(self._method, self._query)
        self._seen.resource = what.resource.plural
        self._seen.namespace, self._seen.name = what.key
        return what

    def _later(self, found: Target | None, fault: Fault) -> None:
        if self._seen.ended_at is not None:
            return
        try:
            self._answer(found, fault)
        except ApiError as error:
            send_error(self._request, error)

    def _answer(self, found: Target | None, fault: Fault | None) -> None:
        if fault is not None and fault.close:
            self._close_afterwards()
        if fault is not None and fault.code is not None:
            for name, value in fault.headers.items():
                self._request.setHeader(name, value)
            send(self._request, fault.code, fault.body)
        elif found is None:
            document = discovery.document(self._path, self._server.catalogue)
            if document is None:
                send_no_page(self._request)
            else:
                send_json(self._request, 200, document)
        else:
            self._serve(found)

    def _close_afterwards(self) -> None:
        self._request.setHeader("Connection", "close")
        connection = connection_of(self._request)
        if connection is not None:
            self._request.notifyFinish().addBoth(lambda _: connection.loseConnection())

    def _serve(self, what: Target) -> None:
        verb = self._seen.verb
        access = self._server.access
        access.check(self._seen.user, verb, what.resource, what.namespace, what.name)
        if not _takes_json(self._seen.accept):
            text = "only the following media types are accepted: application/json"
            raise ApiError(406, "NotAcceptable", text, {})
        if what.subresource == "scale" and is_scalable(what.resource):
            self._scale(what)
        elif what.subresource in ("", "status", "finalize"):
            getattr(self, f"_{verb}")(what)
        else:
            raise no_such_path()

    def _scale(self, what: Target) -> None:
        writer = self._server.writer
        stored = writer.get(what.resource, what.key)
        if self._seen.verb in ("update", "patch"):
            is_patch = self._seen.verb == "patch"
            wanted = scaled(stored, self._body(), is_patch=is_patch)
            stored = writer.update(what.resource, what.key, wanted, dry_run=self._is_dry())
        send_json(self._request, 200, scale_of(stored))

    def _list(self, what: Target) -> None:
        storage = self._server.storage
        asked = options.read(self._query, what.resource, what.namespace)
        body = list_objects(storage, storage.shelf(what.resource), asked)
        if tables.is_asked(self._seen.accept):
            body = self._table(what, body["items"], body["metadata"])
        elif is_metadata_asked(self._seen.accept):
            body = metadata_list(body)
        send_json(self._request, 200, body, compress=True)

    def _watch(self, what: Target) -> None:
        server = self._server
        asked = options.read(self._query, what.resource, what.namespace)
        shelf = server.storage.shelf(what.resource)
        clock = server.clock
        stream = WatchStream(server.storage, shelf, asked, server.conduct, clock)
        if tables.is_asked(self._seen.accept):
            stream.shape = lambda thing: self._table(what, [thing], {})
        response = WatchResponse(self._request, stream)
        server.watches.append(response)
        response.start(server.watches.remove)

    def _get(self, what: Target) -> None:
        thing = self._server.writer.get(what.resource, what.key)
        if tables.is_asked(self._seen.accept):
            version = thing["metadata"]["resourceVersion"]
            thing = self._table(what, [thing], {"resourceVersion": version})
        elif is_metadata_asked(self._seen.accept):
            thing = metadata_of(thing)
        send_json(self._request, 200, thing)

    def _table(self, what: Target, things: list[Object], metadata: Object) -> Object:
        return tables.table(what.resource.kind, things, metadata, self._server.clock.seconds())

    def _create(self, what: Target) -> None:
        thing = self._server.writer.create(
            what.resource, what.namespace, self._thing(what), dry_run=self._is_dry()
        )
        send_json(self._request, 201, thing)

    def _thing(self, what: Target) -> Any:
        """The object in the body; 400 for one of another kind, or against its schema if asked."""
        thing = self._body()
        resource = what.resource
        if isinstance(thing, dict) and thing.get("kind", resource.kind) != resource.kind:
            text = f'{thing["kind"]} in version "{resource.version}" cannot be handled as a '
            raise bad_request(text + resource.kind)
        if isinstance(thing, dict):
            shaped(thing, resource, strict=self._query.get("fieldValidation") == "Strict")
        return thing

    def _update(self, what: Target) -> None:
        thing = self._thing(what)
        if what.subresource:
            stored = self._server.writer.get(what.resource, what.key)
            thing = stored | {"status": thing.get("status", stored.get("status"))}
        writer = self._server.writer
        code = 200 if writer.has(what.resource, what.key) else 201
        stored = writer.update(what.resource, what.key, thing, dry_run=self._is_dry())
        send_json(self._request, code, stored)

    def _patch(self, what: Target) -> None:
        content_type = (self._request.getHeader("Content-Type") or "").partition(";")[0].strip()
        writer, dry = self._server.writer, self._is_dry()
        code = 200
        if content_type == "application/apply-patch+yaml":
            manager = self._query.get("fieldManager", "")
            if not manager:
                raise no_manager()
            force = self._query.get("force") == "true"
            thing, is_new = writer.apply(
                what.resource, what.key, manager, self._thing(what), dry_run=dry, force=force
            )
            code = 201 if is_new else 200
        else:
            body = self._body()
            thing = writer.patch(what.resource, what.key, content_type, body, dry_run=dry)
        send_json(self._request, code, thing)

    def _delete(self, what: Target) -> None:
        writer = self._server.writer
        stored = writer.get(what.resource, what.key)
        writer.check_preconditions(what.resource, what.key, self._optional_body())
        if what.resource.kind == "Namespace" and not self._is_dry():
            send_json(self._request, 200, writer.terminate(what.key))
            return
        if not self._is_dry():
            stored = writer.delete(what.resource, what.key)
        if what.resource.kind == "Service":
            send_json(self._request, 200, stored)
            return
        group = {"group": what.resource.group} if what.resource.group else {}
        details = {"name": what.name} | group | {"kind": what.resource.plural}
        details["uid"] = stored["metadata"]["uid"]
        send_json(self._request, 200, _success(details))

    def _deletecollection(self, what: Target) -> None:
        asked = options.read(self._query, what.resource, what.namespace)
        shelf = self._server.storage.shelf(what.resource)
        body = list_objects(self._server.storage, shelf, asked)
        if not self._is_dry():
            for key in [key for key, thing in shelf.objects.items() if asked.selects(thing)]:
                self._server.writer.delete(what.resource, key)
        send_json(self._request, 200, body)

    def _control(self) -> None:
        self._seen.verb = "control"
        if self._method != "POST":
            raise method_not_allowed()
        content = self._content()
        answer = control.obey(self._server, self._path.removeprefix("/_ctl/"), self._query, content)
        send(self._request, 200, answer.encode())

    def _content(self) -> bytes:
        content = self._request.content
        return content.read() if content is not None else b""

    def _is_dry(self) -> bool:
        return self._query.get("dryRun") == "All"

    def _optional_body(self) -> Any:
        """The body, None where there is none."""
        content = self._request.content
        if content is None or not content.read(1):
            return None
        content.seek(0)
        return self._body()

    def _body(self) -> Any:
        content = self._content()
        content_type = self._request.getHeader("Content-Type") or ""
        is_yaml = "yaml" in content_type
        if content_type and not is_yaml and "json" not in content_type:
            text = f"{content_type} is not read here; use JSON or YAML (kubectl apply or create -f)"
            raise ApiError(415, "UnsupportedMediaType", text, {})
        try:
            return yaml.safe_load(content) if is_yaml else msgspec.json.decode(content)
        except (yaml.YAMLError, msgspec.DecodeError, RecursionError) as error:
            raise bad_request(f"the object provided cannot be read: {error}") from error


def _success(details: Object) -> Object:
    head = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return head | {"details": details}


def _query(request: Request) -> dict[str, str]:
    return {
        name.decode("utf-8", "replace"): values[-1].decode("utf-8", "replace")
        for name, values in request.args.items()
    }


def _takes_json(accept: str) -> bool:
    kinds = [part.partition(";")[0].strip() for part in accept.split(",")]
    return not accept or any(kind in ("application/json", "*/*", "application/*") for kind in kinds)


def _common_name(request: Request) -> str:
    connection = connection_of(request)
    certificate = None
    if connection is not None and request.isSecure():
        certificate = connection.getPeerCertificate()
    if certificate is None:
        return ""
    names = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
