"""What went wrong with an upstream, in one sentence that an operator can act on."""

from __future__ import annotations

from k8sdns.errors import ServerFailure


class UpstreamFailure(ServerFailure):
    """An attempt that brought no reply: who was asked, over what, how far it got and how long.

    `phase` is ``connect``, ``send``, ``wait`` or ``read``; `elapsed` is in seconds.
    """

    def __init__(self, to: str, transport: str, phase: str, reason: str, elapsed: float) -> None:
        self.to = to
        self.transport = transport
        self.phase = phase
        self.reason = reason
        super().__init__(
            f"upstream {to} over {transport}: {reason} ({phase}, after {elapsed:.3f}s)",
            ede=(23, f"{to} {transport} {reason}"),
        )


def reason_of(error: BaseException) -> str:
    """Return an exception as words without its Python name, where it has any."""
    strerror = getattr(error, "strerror", None)
    if strerror:
        return str(strerror).lower()
    return str(error) or type(error).__name__
