"""The way in for programs that are no Kubernetes clients: POST /_ctl/….

Owns: those paths. Refuses to know: HTTP.
    apply                        many YAML documents, stored whatever was there
    delete?kind=&ns=&name=       one object less; unknown: nothing
    compact                      forget the history: older watches get 410
    disconnect                   reset every open watch
    cut?after=&how=&verb=        break the next response (to that verb) off after so many bytes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast, get_args

import yaml

from k8sdns.testing.apiserver.faults import End, Fault
from k8sdns.testing.apiserver.statuses import ApiError, bad_request, no_such_path

if TYPE_CHECKING:
    from k8sdns.testing.apiserver.server import FakeApiServer


def obey(server: FakeApiServer, order: str, query: Mapping[str, str], content: bytes) -> str:
    """Do what is ordered; returns one line that says what was done. Raises `ApiError`."""
    if order == "apply":
        return _apply(server, content)
    if order == "delete":
        kind, namespace = query.get("kind", ""), query.get("ns", "")
        try:
            gone = server.delete(kind, namespace, query.get("name", ""))
        except KeyError:
            raise bad_request(f"no such kind: {kind!r}") from None
        return "deleted\n" if gone else "not there\n"
    if order == "compact":
        server.compact()
        return "compacted\n"
    if order == "disconnect":
        return f"{server.disconnect()} watches reset\n"
    if order == "cut":
        return _cut(server, query)
    raise no_such_path()


def _cut(server: FakeApiServer, query: Mapping[str, str]) -> str:
    after, how = query.get("after", "0"), query.get("how", "reset")
    if not after.isdigit() or how not in get_args(End):
        raise bad_request("after is a number of bytes, how is reset, close or stall")
    server.faults.add(Fault(verb=query.get("verb"), after=int(after), how=cast("End", how)))
    return "waiting for its request\n"


def _apply(server: FakeApiServer, content: bytes) -> str:
    try:
        applied = server.apply_text(content)
    except (ValueError, yaml.YAMLError) as error:
        raise ApiError(400, "BadRequest", str(error)) from error
    return f"{len(applied)} objects applied\n"
