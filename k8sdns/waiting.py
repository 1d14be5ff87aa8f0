"""Values that may have to be waited for: the value itself, or a Deferred of it.

Nearly every answer is at hand at once, and then no Deferred is made. `then` is the only place
that needs to know the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")
U = TypeVar("U")


def then(result: T | Deferred[T], call: Callable[[T], U | Deferred[U]]) -> U | Deferred[U]:
    """Go on with `call` once `result` is there: now if it is a value, later if it is a Deferred."""
    if isinstance(result, Deferred):
        return result.addCallback(call)
    return call(result)
