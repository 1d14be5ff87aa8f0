"""Exec credential plugins: a program that prints a token or a client certificate.

Owns: starting it without blocking, one run at a time, the deadline, the cache, what its output
must look like (client.authentication.k8s.io ExecCredential). Refuses to know requests and TLS.
A failure fails the request: there is no way from here to an anonymous one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from k8sdns.cluster.access import AccessError, ExecSpec
from k8sdns.cluster.tokens import Grant, bearer

RUN_FOR = 60.0
"""Seconds that a plugin may take before it is killed; some ask a cloud over the network."""
MAX_OUTPUT = 1 << 20
RENEW_BEFORE = 10.0
"""Seconds before its expiry that a credential is renewed; short-lived ones are used until then."""

# Anything as long as a token and made of its characters has no business in a log.
_TOKEN_LIKE = re.compile(r"[\w+/=.-]{32,}")


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    status: _Status | None = None


class ExecCredentialSource:
    """A `Credential` backed by a plugin; `wall_clock` gives Unix seconds (expirationTimestamp)."""

    def __init__(
        self,
        spec: ExecSpec,
        reactor: Any,
        wall_clock: Any,
        *,
        environ: Mapping[str, str] | None = None,
        run_for: float = RUN_FOR,
    ) -> None:
        self._spec = spec
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._environ = os.environ if environ is None else environ
        self._run_for = run_for
        self._grant: Grant | None = None
        self._expires_at: float | None = None
        self._waiting: list[Deferred[Grant]] | None = None

    async def grant(self) -> Grant:
        """Return the cached grant, or that of the one run in flight; raises `AccessError`."""
        if self._grant is not None and not self._has_expired():
            return self._grant
        waiter: Deferred[Grant] = Deferred()
        if self._waiting is None:
            self._waiting = [waiter]
            self._run()
        else:
            self._waiting.append(waiter)
        return await waiter

    def rejected(self, grant: Grant) -> None:
        """Run the plugin again before the next request, if the refused grant is the cached one."""
        if grant == self._grant:
            self._grant = None

    def _has_expired(self) -> bool:
        return (
            self._expires_at is not None and self._wall_clock() >= self._expires_at - RENEW_BEFORE
        )

    def _run(self) -> None:
        run = _Run(self._reactor, self._run_for)
        run.finished.addCallback(self._read).addBoth(self._settle)
        try:
            self._reactor.spawnProcess(
                run,
                self._spec.command,
                [self._spec.command, *(a.reveal().decode() for a in self._spec.arguments)],
                env=plugin_environment(self._spec, self._environ),
            )
        except OSError as error:
            run.fail(f"cannot be started: {error.strerror}")

    def _read(self, output: bytes) -> Grant:
        self._grant, self._expires_at = read_exec_credential(output, self._spec.api_version)
        return self._grant

    def _settle(self, result: Grant | Failure) -> None:
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            if isinstance(result, Failure):
                why = f"exec plugin {self._spec.command}: {result.getErrorMessage()}"
                waiter.errback(AccessError(why))
            else:
                waiter.callback(result)


class _Run(ProcessProtocol):
    """One run: collects standard output, bounded in size and time."""

    transport: Any

    def __init__(self, clock: IReactorTime, run_for: float) -> None:
        self.finished: Deferred[bytes] = Deferred()
        self._output = bytearray()
        self._complaint = bytearray()
        self._why = ""
        self._done = False
        self._seconds = run_for
        self._deadline = clock.callLater(run_for, self._took_too_long)

    def connectionMade(self) -> None:
        self.transport.closeStdin()

    def outReceived(self, data: bytes) -> None:
        self._output += data
        if len(self._output) > MAX_OUTPUT:
            self._kill(f"printed more than {MAX_OUTPUT} octets")

    def errReceived(self, data: bytes) -> None:
        if len(self._complaint) < 4096:
            self._complaint += data

    def processEnded(self, reason: Failure) -> None:
        if self._why:
            self.fail(self._why)
        elif reason.check(ProcessDone) is None:
            self.fail(f"{reason.getErrorMessage()} {self._last_words()}".strip())
        elif not self._done:
            self._end()
            self.finished.callback(bytes(self._output))

    def fail(self, why: str) -> None:
        """End the run, whatever the process still does, with a reason for people."""
        if not self._done:
            self._end()
            self.finished.errback(AccessError(why))

    def _end(self) -> None:
        self._done = True
        if self._deadline.active():
            self._deadline.cancel()

    def _took_too_long(self) -> None:
        self._kill(f"took longer than {self._seconds:g} s")
        # A grandchild may hold the pipes open long after the kill: do not wait for it.
        self.fail(self._why)

    def _kill(self, why: str) -> None:
        self._why = why
        if self.transport is not None:
            self._output.clear()
            self.transport.loseConnection()
            if self.transport.pid:
                self.transport.signalProcess("KILL")

    def _last_words(self) -> str:
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        return _TOKEN_LIKE.sub("<redacted>", lines[-1])[:200] if lines else ""


def plugin_environment(spec: ExecSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the plugin: ours, the kubeconfig's, and KUBERNETES_EXEC_INFO."""
    about: dict[str, Any] = {"interactive": False}
    if spec.cluster is not None:
        about["cluster"] = msgspec.Raw(spec.cluster.reveal())
    request = {"apiVersion": spec.api_version, "kind": "ExecCredential", "spec": about}
    return {
        **environ,
        **{name: value.reveal().decode() for name, value in spec.environment},
        "KUBERNETES_EXEC_INFO": msgspec.json.encode(request).decode(),
    }


def read_exec_credential(output: bytes, api_version: str) -> tuple[Grant, float | None]:
    """Return what a plugin printed, as a grant and its expiry in Unix seconds.

    Raises `AccessError`; the text of `output` is never part of the message.
    """
    try:
        answer = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AccessError("printed something that is no ExecCredential") from None
    if answer.kind != "ExecCredential" or answer.api_version != api_version:
        raise AccessError(f"printed another kind or version than ExecCredential {api_version}")
    status = answer.status or _Status()
    certificate, key = status.client_certificate_data or "", status.client_key_data or ""
    if bool(certificate) != bool(key) or not (status.token or certificate):
        raise AccessError("printed neither a token nor a client certificate with its key")
    grant = Grant(
        bearer(status.token.encode()) if status.token else b"", certificate.encode(), key.encode()
    )
    expires = status.expiration_timestamp
    return grant, expires.timestamp() if expires else None
