"""What the server was asked: one entry a request, without any secret.

Owns: the shape of the log and its bound. Refuses to know: how requests are answered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

LOG_LIMIT = 20_000


@dataclass
class Seen:
    """One request. `code` and `sent` (body bytes) are final once `ended_at` is set."""

    at: float
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    accept: str = ""
    agent: str = ""
    user: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0
    sent: int = 0
    ended_at: float | None = None


class RequestLog(deque[Seen]):
    """The newest requests, oldest first."""

    def __init__(self) -> None:
        super().__init__(maxlen=LOG_LIMIT)

    def of(self, verb: str, resource: str | None = None) -> list[Seen]:
        """The requests with this RBAC verb (and resource)."""
        return [one for one in self if one.verb == verb and resource in (None, one.resource)]
