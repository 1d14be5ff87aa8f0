"""What the API server says when it says no: Status objects, each with its HTTP code.

Owns: the codes, reasons and texts, as a kube-apiserver writes them. Refuses to know: HTTP, storage.
Source: apimachinery `api/errors`, and answers seen on a running kube-apiserver 1.36.
"""

from __future__ import annotations

from typing import Any

from k8sdns.errors import K8sDNSError
from k8sdns.testing.apiserver.resources import Object, ResourceType


class ApiError(K8sDNSError):
    """A request that ends in a Status; `retry_after` is in seconds and becomes a header too."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        retry_after: int | None = None,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.continue_token = continue_token

    def status(self) -> Object:
        """The Status object, fields in the order of a real one."""
        metadata = {"continue": self.continue_token} if self.continue_token else {}
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if details or self.details is not None:
            body["details"] = details
        return body | {"code": self.code}


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401: no credentials, or none that count."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(user: str, verb: str, resource: ResourceType, namespace: str, name: str) -> ApiError:
    """403: the user's role lacks the verb on the resource."""
    what = f'{resource.qualified} "{name}"' if name else resource.qualified
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return ApiError(
        403,
        "Forbidden",
        f'{what} is forbidden: User "{user}" cannot {verb} resource "{resource.plural}" '
        f'in API group "{resource.group}" {scope}',
        _details(resource, name),
    )


def not_found(resource: ResourceType, name: str) -> ApiError:
    """404: no object of that name."""
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(resource, name))


def no_such_path() -> ApiError:
    """404: no such group, version or resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def already_exists(resource: ResourceType, name: str) -> ApiError:
    """409 for a create."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(resource, name))


def conflict(resource: ResourceType, name: str) -> ApiError:
    """409 for an update whose resourceVersion is not the stored one."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been '
        "modified; please apply your changes to the latest version and try again",
        _details(resource, name),
    )


def apply_conflict(lost: list[tuple[str, str]]) -> ApiError:
    """409 of a server-side apply; `lost` are the fields that differ, each with its manager."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": field}
        for field, other in lost
    ]
    fields = "\n".join(f"- {field}" for field, _ in lost)
    count = f"{len(lost)} conflict{'s' if len(lost) > 1 else ''}"
    managers = ", ".join(f'"{other}"' for other in sorted({other for _, other in lost}))
    text = f"Apply failed with {count}: conflicts with {managers}:\n{fields}"
    return ApiError(409, "Conflict", text, {"causes": causes})


def precondition_failed(
    resource: ResourceType, name: str, word: str, asked: str, stored: str
) -> ApiError:
    """409 of a DELETE that is meant for another object of the same name."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    text = (
        f'Operation cannot be fulfilled on {kind} "{name}": the {word} in the precondition '
        f"({asked}) does not match the {word} in record ({stored}). The object might have been "
        "deleted and then recreated"
    )
    group = {"group": resource.group} if resource.group else {}
    return ApiError(409, "Conflict", text, {"name": name} | group | {"kind": resource.kind})


def expired(message: str, continue_token: str = "") -> ApiError:
    """410: the resourceVersion, or the continue token, is older than what is kept."""
    return ApiError(410, "Expired", message, continue_token=continue_token)


def too_old(asked: int, floor: int) -> ApiError:
    """410 of a watch (and of a list) from before the oldest event kept."""
    return expired(f"too old resource version: {asked} ({floor})")


def invalid(subject: str, field: str, message: str) -> ApiError:
    """422: list options that contradict one another, or an object that breaks its schema."""
    text = f"{subject} is invalid: {field}: {message}"
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    return ApiError(422, "Invalid", text, {"causes": causes})


def no_manager() -> ApiError:
    """422 of a server-side apply that does not say who applies."""
    why = "Required value: is required for apply patch"
    cause = {"reason": "FieldValueRequired", "message": why, "field": "fieldManager"}
    text = f'PatchOptions.meta.k8s.io "" is invalid: fieldManager: {why}'
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
    return ApiError(422, "Invalid", text, details)


def too_many_requests(retry_after: int = 1) -> ApiError:
    """429: the server sheds load."""
    message = "Too many requests, please try again later."
    return ApiError(429, "TooManyRequests", message, retry_after=retry_after)


def too_large_version(asked: int, current: int) -> ApiError:
    """504: the resourceVersion is ahead of what this server has seen."""
    text = f"Too large resource version: {asked}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", f"Timeout: {text}", {"causes": causes}, retry_after=1)


def progress_unavailable() -> ApiError:
    """500 of a WatchList on an etcd that lacks RequestWatchProgress (seen with etcd 3.4)."""
    return ApiError(
        500,
        "InternalError",
        "a watch stream was requested by the client but the required storage feature "
        "RequestWatchProgress is disabled",
    )


def _details(resource: ResourceType, name: str) -> dict[str, Any]:
    details = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    return details | {"kind": resource.plural}
