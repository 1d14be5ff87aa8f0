"""The exceptions of k8sdns: each says which RCODE or exit status it becomes.

Owns: the vocabulary of failure. Refuses to know who raises or reports it.
"""

from __future__ import annotations


class K8sDNSError(Exception):
    """Root of everything that k8sdns raises on purpose."""


class ConfigurationError(K8sDNSError):
    """The configuration cannot be served; exit status 1, nothing is started."""


class CorefileError(ConfigurationError):
    """A mistake in a Corefile: one line that names the place and, where one is known, the remedy.

    ``str()`` is ``file:line - message``; without a line ``file - message``.
    """

    def __init__(self, message: str, file: str = "Corefile", line: int | None = None) -> None:
        self.message = message
        self.file = file
        self.line = line
        where = file if line is None else f"{file}:{line}"
        super().__init__(_one_line(f"{where} - {message}"))


def _one_line(text: str) -> str:
    """Escape what a terminal or a log would not show as part of one line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class WireError(K8sDNSError):
    """A message that cannot be read; becomes FORMERR where a header could be read, else silence."""


class QueryError(K8sDNSError):
    """A query that ends in an error of ours; `rcode` is the RCODE that the client is sent.

    `text` is what `errors` logs; `ede` an optional Extended DNS Error as (code, text) (RFC 8914).
    """

    rcode = 2

    def __init__(
        self, text: str, *, rcode: int | None = None, ede: tuple[int, str] | None = None
    ) -> None:
        super().__init__(text)
        self.text = text
        self.ede = ede
        if rcode is not None:
            self.rcode = rcode


class ServerFailure(QueryError):
    """SERVFAIL: the answer exists somewhere but cannot be had now (RFC 1035 §4.1.1)."""


class Refused(QueryError):
    """REFUSED: policy, or a bound that was reached (RFC 1035 §4.1.1)."""

    rcode = 5


class NoNextAuthority(ServerFailure):
    """The chain ended and nobody answered; CoreDNS says SERVFAIL here too."""
