"""TLS towards upstreams: whom we trust, who we are, and sessions that are taken up again.

Owns certificates and keys of the client side. Refuses to know sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from k8sdns.authorities.upstream.destination import Destination
from k8sdns.errors import K8sDNSError

TlsFor = Callable[[Destination], Any]
_END = b"-----END CERTIFICATE-----"


class BadCertificate(K8sDNSError):
    """A certificate or key that cannot be used; the message names the file."""


@implementer(IOpenSSLClientConnectionCreator)
class ResumingCreator:
    """Makes the TLS side of connections to one upstream, each beginning with the last session.

    A resumed handshake costs a round trip less and no signature (RFC 8446 §2.2).
    """

    def __init__(self, creator: Any) -> None:
        self._creator = creator
        self._last: Any = None

    def clientConnectionForTLS(self, protocol: Any) -> Any:
        """Return the OpenSSL connection for one transport."""
        session = None if self._last is None else _session_of(self._last)
        connection = self._creator.clientConnectionForTLS(protocol)
        if session is not None:
            connection.set_session(session)
        self._last = connection
        return connection


def _session_of(connection: Any) -> Any:
    # Asked for as late as this because TLS 1.3 hands out tickets after the handshake.
    try:
        return connection.get_session()
    except SSL.Error:
        return None


def tls_for(paths: tuple[str, ...] = (), server_name: str = "") -> TlsFor:
    """Return what makes TLS options for a destination.

    `paths` are () | (CA,) | (CERT, KEY) | (CERT, KEY, CA) as `tls` has them. The certificate must
    name the destination's server name, else `server_name`, else its address. Raises
    `BadCertificate`.
    """
    trust = _trust_root(paths[-1]) if len(paths) in (1, 3) else ssl.platformTrust()
    own = _own_certificate(paths[0], paths[1]) if len(paths) >= 2 else None

    def creator_for(destination: Destination) -> ResumingCreator:
        name = destination.server_name or server_name or destination.host.partition("%")[0]
        return ResumingCreator(
            ssl.optionsForClientTLS(name, trustRoot=trust, clientCertificate=own)
        )

    return creator_for


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadCertificate(f"cannot read {path}: {error.strerror}") from None


def _trust_root(path: str) -> Any:
    found = [part + _END for part in _read(path).split(_END)[:-1]]
    if not found:
        raise BadCertificate(f"{path} holds no PEM certificate")
    try:
        return ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(part) for part in found])
    except SSL.Error:
        raise BadCertificate(f"{path} holds a certificate that cannot be read") from None


def _own_certificate(certificate: str, key: str) -> Any:
    try:
        return ssl.PrivateCertificate.loadPEM(_read(key) + b"\n" + _read(certificate))
    except SSL.Error:
        raise BadCertificate(f"{certificate} and {key} are no PEM certificate and key") from None
