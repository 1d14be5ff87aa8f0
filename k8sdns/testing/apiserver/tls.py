"""Certificates for a fake API server: an authority of its own, made in memory.

Owns: the CA, the server's certificate, client certificates. Refuses to know: what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

NAMES = ("127.0.0.1", "::1", "localhost", "kubernetes", "kubernetes.default.svc")
_ONE_DAY = timedelta(days=1)


@implementer(IOpenSSLServerConnectionCreator)
class Authority:
    """A CA and the server certificate that it signed, as the TLS side of one server.

    `ca_pem` is what clients must trust. `renew` makes another server certificate (the next
    connection gets it), under a new CA if asked to: what certificate rotation looks like.
    """

    def __init__(self, names: Sequence[str] = NAMES) -> None:
        self._names = tuple(names)
        self.renew(new_authority=True)

    def renew(self, *, new_authority: bool = False) -> None:
        """Serve another certificate from the next connection on."""
        if new_authority:
            self._key = ec.generate_private_key(ec.SECP256R1())
            self._name = _name("k8sdns test CA")
            self._certificate = self._sign(self._name, self._key, is_ca=True)
            self.ca_pem = _pem(self._certificate)
        self._context = self._make_context(*self._issued("kube-apiserver", self._names))

    def issue(self, common_name: str, names: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """A certificate and its key, as PEM; for a client, `common_name` is the user."""
        certificate, key = self._issued(common_name, names)
        return _pem(certificate), key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def _issued(
        self, common_name: str, names: Sequence[str]
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(_name(common_name), key, names=names), key

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """The connection of a new client, with the certificate of now."""
        del tlsProtocol  # Twisted hands it over; ours are all alike
        return SSL.Connection(self._context, None)

    def _make_context(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        store = context.get_cert_store()
        if store is not None:
            store.add_cert(crypto.X509.from_cryptography(self._certificate))
        # Asked for, not demanded: who shows none may still have a token.
        context.set_verify(SSL.VERIFY_PEER, lambda *checked: bool(checked[-1]))
        context.set_session_id(b"k8sdns")
        context.set_alpn_select_callback(_select_http_1)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: Sequence[str] = (),
        is_ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _ONE_DAY)
            .not_valid_after(now + 365 * _ONE_DAY)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(issuer, critical=False)  # strict clients want it (Python 3.13)
            .add_extension(_usage(is_ca=is_ca), critical=True)
        )
        if names:
            found = [_alternative(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _select_http_1(_: SSL.Connection, offered: list[bytes]) -> Any:
    return b"http/1.1" if b"http/1.1" in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _usage(*, is_ca: bool) -> x509.KeyUsage:
    """Return what a key is for: signing certificates, or handshakes (RFC 5280 §4.2.1.3)."""
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
