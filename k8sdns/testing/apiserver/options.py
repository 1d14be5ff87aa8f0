"""The query parameters of list and watch: read, and checked against one another.

Owns: which combinations the API server refuses, and with which Status.
Refuses to know: storage, streams.
Source: apimachinery `internalversion/validation`, apiserver `storage/etcd3` and `cacher`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from k8sdns.testing.apiserver.resources import Object, ResourceType
from k8sdns.testing.apiserver.selectors import Predicate, by_fields, by_labels, everything
from k8sdns.testing.apiserver.statuses import ApiError, bad_request, invalid

SUBJECT = 'ListOptions.meta.k8s.io ""'


@dataclass(frozen=True)
class ListOptions:
    """What a list or a watch was asked; `timeout` in seconds, 0 for the server's own."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    match: str = ""
    limit: int = 0
    continue_token: str = ""
    timeout: int = 0
    bookmarks: bool = False
    initial_events: bool | None = None
    namespace: str = ""
    selects: Predicate = everything

    @property
    def revision(self) -> int:
        """The resourceVersion as a number; 0 for "" and "0"."""
        return int(self.resource_version or 0)


def read(query: Mapping[str, str], resource: ResourceType, namespace: str) -> ListOptions:
    """The options of a request; 400 for what is no number, truth value or selector."""
    labels = query.get("labelSelector", "")
    fields = query.get("fieldSelector", "")
    version = query.get("resourceVersion", "")
    if version and not version.isdigit():
        raise _bad_version(version, watch=is_watch(query))
    return ListOptions(
        label_selector=labels,
        field_selector=fields,
        resource_version=version,
        match=query.get("resourceVersionMatch", ""),
        limit=_number(query, "limit"),
        continue_token=query.get("continue", ""),
        timeout=_number(query, "timeoutSeconds"),
        bookmarks=bool(_truth(query, "allowWatchBookmarks")),
        initial_events=_truth(query, "sendInitialEvents"),
        namespace=namespace,
        selects=_selection(by_labels(labels), by_fields(fields, resource.plural), namespace),
    )


def _bad_version(version: str, *, watch: bool) -> ApiError:
    why = f'strconv.ParseUint: parsing "{version}": invalid syntax'
    text = f'resourceVersion: Invalid value: "{version}": {why}'
    # A watch finds out where nobody expects a mistake of the client's.
    return ApiError(500, "", text) if watch else bad_request(text)


def is_watch(query: Mapping[str, str]) -> bool:
    """True when the request is a watch rather than a list."""
    return bool(_truth(query, "watch"))


def check_list(options: ListOptions) -> None:
    """Raise what the API server answers to a list with contradictory options."""
    if options.initial_events is not None:
        raise _forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if options.continue_token:
        if options.resource_version not in ("", "0"):
            raise bad_request("specifying resource version is not allowed when using continue")
        if options.match:
            text = "resourceVersionMatch is forbidden when continue is provided"
            raise _forbidden("resourceVersionMatch", text)
    if not options.match:
        return
    if not options.resource_version:
        text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _forbidden("resourceVersionMatch", text)
    if options.match not in ("Exact", "NotOlderThan"):
        text = f'Unsupported value: "{options.match}": supported values: "Exact", "NotOlderThan"'
        raise invalid(SUBJECT, "resourceVersionMatch", text)
    if options.match == "Exact" and options.resource_version == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        raise _forbidden("resourceVersionMatch", text)


def check_watch(options: ListOptions, *, watch_list: bool) -> None:
    """Raise what the API server answers to such a watch; `watch_list` is the feature gate."""
    if options.initial_events is None:
        if options.match:
            text = (
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
            raise _forbidden("resourceVersionMatch", text)
        return
    if not watch_list:
        text = (
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
        raise _forbidden("sendInitialEvents", text)
    if options.match != "NotOlderThan":
        text = 'sendInitialEvents requires setting resourceVersionMatch to "NotOlderThan"'
        raise _forbidden("resourceVersionMatch", text)


def _selection(labels: Predicate, fields: Predicate, namespace: str) -> Predicate:
    def selects(thing: Object) -> bool:
        if namespace and thing["metadata"].get("namespace") != namespace:
            return False
        return labels(thing) and fields(thing)

    return selects


def _forbidden(field: str, text: str) -> ApiError:
    return invalid(SUBJECT, field, f"Forbidden: {text}")


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "") or "0"
    if not text.removeprefix("-").isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return max(0, int(text))


def _truth(query: Mapping[str, str], name: str) -> bool | None:
    text = query.get(name)
    if text is None:
        return None
    if text.lower() in ("true", "1", "t", ""):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise bad_request(f'{name}: Invalid value: "{text}": strconv.ParseBool: invalid syntax')
