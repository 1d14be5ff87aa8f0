"""TLS towards the API server: who is trusted, who we are, which name must be on the certificate.

Owns: PEM text to Twisted's TLS policy. Refuses to know requests, and which files hold the PEM.
Messages name the file, never its contents.
"""

from __future__ import annotations

import re
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import VerifyError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from k8sdns.cluster.access import AccessError, ClusterAccess, Pem
from k8sdns.cluster.tokens import Grant

# ruff: noqa: ARG002 - the interfaces decide what they pass

_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:TRUSTED )?CERTIFICATE-----.+?-----END (?:TRUSTED )?CERTIFICATE-----", re.DOTALL
)


@implementer(IPolicyForHTTPS)
class ApiServerPolicy:
    """Checks the API server's certificate against `trust` and shows the client's, if there is one.

    `server_name` replaces the host's name in SNI and in the check (tls-server-name).
    """

    def __init__(self, trust: Any, identity: Any, chain: list[Any], server_name: str) -> None:
        self._trust = trust
        self._identity = identity
        self._chain = chain
        self._server_name = server_name

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """Return what makes the TLS connection to `hostname`."""
        return optionsForClientTLS(
            self._server_name or hostname.decode("ascii"),
            trustRoot=self._trust,
            clientCertificate=self._identity,
            extraCertificateOptions={"extraCertChain": self._chain} if self._chain else None,
        )


@implementer(IPolicyForHTTPS)
class UncheckedPolicy:
    """Believes any certificate (insecure-skip-tls-verify), and still shows the client's."""

    def __init__(self, identity: Any, chain: list[Any], server_name: str) -> None:
        options: dict[str, Any] = {"verify": False}
        if identity is not None:
            options["privateKey"] = identity.privateKey.original
            options["certificate"] = identity.original
            options["extraCertChain"] = chain
        self._context = CertificateOptions(**options).getContext()
        self._server_name = server_name

    def creatorForNetloc(self, hostname: bytes, port: int) -> _UncheckedConnections:
        """Return what makes the TLS connection to `hostname`."""
        return _UncheckedConnections(self._context, self._server_name.encode("ascii") or hostname)


@implementer(IOpenSSLClientConnectionCreator)
class _UncheckedConnections:
    def __init__(self, context: SSL.Context, name: bytes) -> None:
        self._context = context
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        # SNI holds names only (RFC 6066 §3).
        if b":" not in self._name and not self._name.replace(b".", b"").isdigit():
            connection.set_tlsext_host_name(self._name)
        return connection


def policy_for(access: ClusterAccess, grant: Grant) -> ApiServerPolicy | UncheckedPolicy | None:
    """Return the TLS policy for `access`; None for a server that is spoken to in plain HTTP.

    Reads the PEM files anew: that is how a rotated CA or certificate is seen. A certificate in
    `grant` (exec plugin) wins over the configured one. Raises `AccessError`.
    """
    if not access.server.startswith("https:"):
        return None
    identity, chain = _identity(access, grant)
    if access.insecure:
        return UncheckedPolicy(identity, chain, access.tls_server_name)
    trust = platformTrust() if access.ca is None else _trust(access.ca)
    return ApiServerPolicy(trust, identity, chain, access.tls_server_name)


def certificate_fingerprint(access: ClusterAccess, grant: Grant) -> tuple[bytes, ...]:
    """Return what the policy is made of, to see whether a rotation asks for a new one."""
    files = (access.ca, access.certificate, access.key)
    return (*(pem.read() if pem else b"" for pem in files), grant.certificate, grant.key)


def _trust(ca: Pem) -> Any:
    blocks = _CERTIFICATE.findall(ca.read())
    if not blocks:
        raise AccessError(f"no certificate in {_whence(ca)}")
    try:
        return trustRootFromCertificates([Certificate.loadPEM(block) for block in blocks])
    except SSL.Error:
        raise AccessError(f"an unreadable certificate in {_whence(ca)}") from None


def _identity(access: ClusterAccess, grant: Grant) -> tuple[Any, list[Any]]:
    """Return (certificate with its key, rest of its chain); (None, []) if there is none."""
    if grant.certificate:
        return _load(grant.certificate, grant.key, "the exec plugin's output")
    if access.certificate and access.key:
        where = f"{_whence(access.certificate)} and {_whence(access.key)}"
        return _load(access.certificate.read(), access.key.read(), where)
    return None, []


def _load(certificate: bytes, key: bytes, where: str) -> tuple[Any, list[Any]]:
    blocks = _CERTIFICATE.findall(certificate)
    try:
        identity = PrivateCertificate.loadPEM(key + b"\n" + blocks[0])
        chain = [Certificate.loadPEM(block).original for block in blocks[1:]]
        CertificateOptions(
            privateKey=identity.privateKey.original, certificate=identity.original
        ).getContext()
    except (SSL.Error, VerifyError, IndexError, ValueError, TypeError):
        raise AccessError(f"no matching client certificate and key in {where}") from None
    return identity, chain


def _whence(pem: Pem) -> str:
    return pem.path or "the inline data"
