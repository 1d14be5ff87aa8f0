"""TLS for the listeners' streams: who we are, who clients must be, and new certificates.

Owns the server side of TLS, under DNS over TLS (RFC 7858) and DNS over HTTPS (RFC 8484), by the
rules of RFC 9325. Refuses to know what is spoken inside. Messages name files, never what they
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto
from twisted.application.service import Service
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLServerConnectionCreator,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from k8sdns.authorities.polling import Poll, signature
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IStreamSecurity

log = Logger(namespace="k8sdns.directives.tls")  # the word it speaks for

DOT: Final[tuple[bytes, ...]] = (b"dot",)  # the ALPN name of DNS over TLS (RFC 7858, IANA)
LOOK_SECONDS: Final = 5.0  # how soon a new certificate is noticed

# Modes of client authentication by their names in Go's crypto/tls, as (flags, is checked).
_ASK = SSL.VERIFY_PEER
_INSIST = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
CLIENT_AUTH: Final = {
    "nocert": (SSL.VERIFY_NONE, False),
    "request": (_ASK, False),
    "require": (_INSIST, False),
    "verify_if_given": (_ASK, True),
    "require_and_verify": (_INSIST, True),
}
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2 (RFC 9325 §4.2)


class TlsFiles(NamedTuple):
    """Paths of PEM files: our chain, its key, and the CAs of clients ("": the system's)."""

    certificate: str
    key: str
    ca: str = ""
    client_auth: str = "nocert"

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that there are."""
        return tuple(path for path in self[:3] if path)


def context_for(files: TlsFiles, protocols: Sequence[bytes]) -> SSL.Context:
    """Return what connections are made with; raises ConfigurationError that names the file.

    `protocols` are ALPN names (RFC 7301), the preferred first; a client that wants none of them,
    or does not say, is served all the same.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION
    )
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(_selection(tuple(protocols)))
    _identify(context, files)
    flags, is_checked = CLIENT_AUTH[files.client_auth]
    context.set_verify(flags, None if is_checked else _anybody)
    # Sessions of clients with certificates cannot be resumed without one.
    context.set_session_id(b"k8sdns")
    if is_checked:
        _trust(context, files.ca)
    return context


def _anybody(*_of_the_certificate: Any) -> bool:
    return True


def _selection(protocols: tuple[bytes, ...]) -> Callable[[Any, list[bytes]], Any]:
    def select(_connection: Any, offered: list[bytes]) -> Any:
        return next((each for each in protocols if each in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    return select


def _identify(context: SSL.Context, files: TlsFiles) -> None:
    chain = _certificates(files.certificate)
    context.use_certificate(chain[0])
    for issuer in chain[1:]:
        context.add_extra_chain_cert(issuer)
    try:
        context.use_privatekey(_key(files.key))
        context.check_privatekey()
    except (SSL.Error, TypeError):
        raise ConfigurationError(
            f"{files.key} is not the key of the certificate {files.certificate}"
        ) from None


def _trust(context: SSL.Context, ca: str) -> None:
    if not ca:
        context.set_default_verify_paths()
        return
    store = context.get_cert_store()
    for each in _certificates(ca):
        if store is not None:
            store.add_cert(crypto.X509.from_cryptography(each))


def _certificates(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_octets(path))
    except ValueError:
        raise ConfigurationError(f"{path} holds no certificate in PEM form") from None


def _key(path: str) -> Any:
    try:
        return serialization.load_pem_private_key(_octets(path), None)
    except TypeError:
        raise ConfigurationError(f"{path} is encrypted: TLS needs the key itself") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} holds no private key in PEM form") from None


def _octets(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


@implementer(IStreamSecurity)
class StreamSecurity(Service):
    """Secures the streams of a block's listeners; certificates that change are taken up.

    Raises ConfigurationError if the files cannot be used at the start. Later the last good ones
    stay in use, and why is logged.
    """

    def __init__(self, files: TlsFiles, clock: IReactorTime) -> None:
        self._files = files
        self._clock = clock
        self._poll = Poll(clock, LOOK_SECONDS, self.look)
        self._seen = signature(files.paths)
        self._contexts = {DOT: context_for(files, DOT)}

    def secured(self, factory: Any) -> SecuredFactory:
        """Return a factory whose connections are those of `factory` inside TLS."""
        protocols = DOT
        if IProtocolNegotiationFactory.providedBy(factory):
            protocols = tuple(factory.acceptableProtocols())
        if protocols not in self._contexts:
            self._contexts[protocols] = context_for(self._files, protocols)
        return SecuredFactory(_Connections(self._contexts, protocols), factory, self._clock)

    def startService(self) -> None:
        """Begin to look for new certificates."""
        super().startService()  # type: ignore[no-untyped-call]
        self._poll.start()

    def stopService(self) -> None:
        """Stop looking."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._poll.stop()

    def look(self) -> None:
        """Read the files again if they are not what they were."""
        seen = signature(self._files.paths)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            renewed = {each: context_for(self._files, each) for each in self._contexts}
        except ConfigurationError as error:
            log.warn("keeping the last good certificate: {error}", error=error)
            return
        self._contexts.update(renewed)
        log.info("the certificate {file} was renewed", file=self._files.certificate)


@implementer(IOpenSSLServerConnectionCreator)
class _Connections:
    """Makes the TLS side of connections with whatever context is current."""

    def __init__(
        self, contexts: dict[tuple[bytes, ...], SSL.Context], protocols: tuple[bytes, ...]
    ) -> None:
        self._contexts = contexts
        self._protocols = protocols

    def serverConnectionForTLS(self, _protocol: Any) -> SSL.Connection:
        """Return the OpenSSL connection for one transport."""
        return SSL.Connection(self._contexts[self._protocols], None)


class SecuredFactory(TLSMemoryBIOFactory):
    """Twisted's TLS around a factory that may turn connections away."""

    def __init__(self, connections: Any, factory: Any, clock: IReactorTime) -> None:
        super().__init__(connections, False, factory, clock)

    def buildProtocol(self, address: IAddress | None) -> Any:
        """Return a protocol, or None where the factory inside has none."""
        inside = self.wrappedFactory.buildProtocol(address)
        return None if inside is None else self.protocol(self, inside)
