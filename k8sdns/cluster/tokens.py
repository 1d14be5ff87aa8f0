"""What a request shows to be let in: bearer tokens inline and from files, passwords.

Owns: when a token file is read again and what happens when it cannot be. Refuses to know
requests, TLS and exec plugins.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from k8sdns.cluster.access import AccessError, ClusterAccess

TOKEN_FILE_FRESH_FOR = 50.0
"""Seconds after which a token file is read again (client-go: 60 s less 10 s of leeway)."""


@dataclass(frozen=True)
class Grant:
    """What one request carries: the Authorization header, and an issued client certificate.

    Compare grants with ``==`` to see whether credentials changed; nothing of them is shown.
    """

    authorization: bytes = field(default=b"", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


class Credential(Protocol):
    """A source of grants. `grant` raises `AccessError` rather than go on anonymously."""

    async def grant(self) -> Grant:
        """Return what the next request carries."""
        ...

    def rejected(self, grant: Grant) -> None:
        """Take note that the API server answered 401 to `grant`."""
        ...


class FixedCredential:
    """The same grant for ever: an inline token, a user name and password, or nothing at all."""

    def __init__(self, authorization: bytes = b"") -> None:
        self._grant = Grant(authorization)

    async def grant(self) -> Grant:
        """Return the one grant there is."""
        return self._grant

    def rejected(self, grant: Grant) -> None:
        """Nothing better is known; the next request tries again."""


class FileCredential:
    """A bearer token in a file that somebody rotates (the kubelet, at 80 % of its life).

    The last good token is kept while the file is missing or empty; `fallback` is used until the
    first successful reading.
    """

    def __init__(self, path: str, clock: IReactorTime, fallback: bytes = b"") -> None:
        self._path = path
        self._clock = clock
        self._token = fallback
        self._read_at: float | None = None

    async def grant(self) -> Grant:
        """Return the token of the file; raises `AccessError` if none was ever read."""
        now = self._clock.seconds()
        if self._read_at is None or now - self._read_at > TOKEN_FILE_FRESH_FOR:
            self._read(now)
        if not self._token:
            raise AccessError(f"no bearer token in {self._path}")
        return Grant(bearer(self._token))

    def rejected(self, grant: Grant) -> None:
        """Read the file again before the next request, if the refused token is the present one."""
        if grant.authorization == bearer(self._token):
            self._read_at = None

    def _read(self, now: float) -> None:
        try:
            with open(self._path, "rb") as file:
                token = file.read().strip()
        except OSError:
            return
        if token:
            self._token = token
            self._read_at = now


def bearer(token: bytes) -> bytes:
    """Return the Authorization header of a bearer token; surrounding white space is dropped."""
    return b"Bearer " + token.strip()


def basic(user_and_password: bytes) -> bytes:
    """Return the Authorization header (RFC 7617) of ``user:password``."""
    return b"Basic " + base64.b64encode(user_and_password)


def stored_credential(access: ClusterAccess, clock: IReactorTime) -> Credential:
    """Return the credential of `access` that needs no plugin, in client-go's order."""
    inline = access.token.reveal() if access.token else b""
    if access.token_file:
        return FileCredential(access.token_file, clock, fallback=inline)
    if inline:
        return FixedCredential(bearer(inline))
    if access.basic:
        return FixedCredential(basic(access.basic.reveal()))
    return FixedCredential()
