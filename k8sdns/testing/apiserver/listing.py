"""LIST: which objects, of which moment, on which page.

Owns: resourceVersion and paging rules of a list, continue tokens. Refuses to know: HTTP.
Source: Kubernetes API concepts ("Retrieving large results sets in chunks", "Resource versions");
§ numbers of client conduct are client-go's reflector.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from k8sdns.testing.apiserver.options import ListOptions, check_list
from k8sdns.testing.apiserver.resources import Object
from k8sdns.testing.apiserver.statuses import ApiError, bad_request, expired, too_large_version
from k8sdns.testing.apiserver.storage import Key, Shelf, Storage

INCONSISTENT = -1
"""The revision inside a token that goes on from wherever the server is now."""


class Continue(msgspec.Struct, frozen=True):
    """A continue token: bound to a moment and to the selectors of the first page."""

    v: str
    rv: int
    start: Key
    labels: str = ""
    fields: str = ""

    def text(self) -> str:
        """As clients see it: opaque."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> Continue:
        """The token of a text; 400 for one that we never gave out."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return msgspec.json.decode(raw, type=cls)
        except (binascii.Error, msgspec.DecodeError, ValueError) as error:
            raise bad_request(f"continue key is not valid: {error}") from error


def list_objects(storage: Storage, shelf: Shelf, options: ListOptions) -> Object:
    """The List object of a request; raises `ApiError` for what cannot be had."""
    check_list(options)
    start: Key | None = None
    if options.continue_token:
        objects, revision, start = _resumed(storage, shelf, options)
    else:
        objects, revision = _moment(storage, shelf, options)
    return _page(shelf, options, objects, revision, start)


def _moment(storage: Storage, shelf: Shelf, options: ListOptions) -> tuple[dict[Key, Object], int]:
    wanted = options.revision
    if wanted > storage.revision:
        raise too_large_version(wanted, storage.revision)
    # A limit together with a resourceVersion has always meant exactly that version.
    if wanted and (options.match == "Exact" or (options.limit and not options.match)):
        return shelf.as_of(wanted), wanted
    return shelf.objects, storage.revision


def _resumed(
    storage: Storage, shelf: Shelf, options: ListOptions
) -> tuple[dict[Key, Object], int, Key]:
    token = Continue.read(options.continue_token)
    if (token.labels, token.fields) != (options.label_selector, options.field_selector):
        raise bad_request("continue key does not belong to this selector")
    if token.rv == INCONSISTENT:
        return shelf.objects, storage.revision, token.start
    try:
        return shelf.as_of(token.rv), token.rv, token.start
    except ApiError:
        onward = msgspec.structs.replace(token, rv=INCONSISTENT).text()
        raise expired(
            "The provided continue parameter is too old to display a consistent list result. "
            "You can start a new list without the continue parameter, or use the continue token "
            "in this response to retrieve the remainder of the results.",
            onward,
        ) from None


def _page(
    shelf: Shelf,
    options: ListOptions,
    objects: dict[Key, Object],
    revision: int,
    start: Key | None,
) -> Object:
    keys = sorted(objects)
    if start is not None:
        keys = [key for key in keys if key > start]
    found = [key for key in keys if options.selects(objects[key])]
    # The watch cache answers resourceVersion=0 whole, whatever the limit.
    limit = 0 if options.resource_version == "0" and start is None else options.limit
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if limit and len(found) > limit:
        if objects is shelf.objects:
            shelf.keep(revision)
        labels, fields = options.label_selector, options.field_selector
        token = Continue("meta.k8s.io/v1", revision, found[limit - 1], labels, fields)
        metadata["continue"] = token.text()
        if not (labels or fields):
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    resource = shelf.resource
    return {
        "kind": resource.kind + "List",
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "items": [_item(objects[key]) for key in found],
    }


def is_metadata_asked(accept: str) -> bool:
    """True when the first JSON kind that an Accept header names is metadata alone."""
    first = next((part for part in accept.split(",") if part.startswith("application/json")), "")
    return "as=PartialObjectMetadata" in first


def metadata_list(body: Object) -> Object:
    """The PartialObjectMetadataList of a List (meta.k8s.io/v1)."""
    items = [metadata_of(thing) for thing in body["items"]]
    named = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
    return named | {"metadata": body["metadata"], "items": items}


def metadata_of(thing: Object) -> Object:
    """The PartialObjectMetadata of an object."""
    named = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return named | {"metadata": thing["metadata"]}


def _item(thing: Object) -> Object:
    """An object as a list holds it: its kind is said once, by the list."""
    return {name: value for name, value in thing.items() if name not in ("kind", "apiVersion")}
