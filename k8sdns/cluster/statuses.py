"""What an API server says when it says no: the Status object, in bodies and in ERROR events.

Owns: the fields, and what makes a Status mean "expired" or "from the future". Refuses to know what
is done about it. Bodies may come from anything on the way (load balancers answer in HTML).
"""

from __future__ import annotations

import msgspec

MAX_BODY = 64 * 1024
"""Octets of an answer other than 200 that are read at all."""


class Cause(msgspec.Struct, gc=False):
    reason: str | None = None


class Details(msgspec.Struct, gc=False, rename="camel"):
    causes: list[Cause] | None = None
    retry_after_seconds: float | None = None


class Status(msgspec.Struct, gc=False):
    """metav1.Status; `code` is the HTTP status of the answer where the body has none."""

    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: Details | None = None

    @property
    def is_expired(self) -> bool:
        """Tell whether a resourceVersion or a continue token is too old (410 Gone)."""
        return (
            self.code == 410
            or self.reason in ("Expired", "Gone")
            or "too old resource version" in (self.message or "")
        )

    @property
    def is_from_the_future(self) -> bool:
        """Tell whether the server has not come as far as the resourceVersion asked for."""
        causes = (self.details.causes if self.details else None) or []
        return any(cause.reason == "ResourceVersionTooLarge" for cause in causes) or (
            "Too large resource version" in (self.message or "")
        )

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait that the body names, if it does."""
        return self.details.retry_after_seconds if self.details else None

    def __str__(self) -> str:
        """Return one line for people: bounded, and without control characters."""
        text = f"{self.code or ''} {self.reason or ''}: {self.message or ''}".strip(" :")
        return "".join(c if c.isprintable() else " " for c in text[:300])


def read_status(code: int, body: bytes) -> Status:
    """Return the Status in the body of an answer with HTTP status `code`, or one made of `code`."""
    try:
        status = msgspec.json.decode(body[:MAX_BODY], type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Status(code=code)
    status.code = code
    return status
