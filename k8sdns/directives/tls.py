"""``tls``: certificates for DNS over TLS and HTTPS (CoreDNS plugin/tls)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Directive, argument, option
from k8sdns.errors import ConfigurationError
from k8sdns.server.draft import BlockDraft
from k8sdns.server.tls import CLIENT_AUTH, StreamSecurity, TlsFiles


@dataclass(frozen=True)
class Settings:
    """Secures the block's ``tls://`` and ``https://`` listeners."""

    certificate: str = argument(
        kinds.path("CERT"), help="PEM file of our certificate, those of its issuers behind it."
    )
    key: str = argument(kinds.path("KEY"), help="PEM file of its private key, not encrypted.")
    ca: str = argument(
        kinds.path("CA"),
        default="",
        shown="the system's",
        help="PEM file of the authorities that sign clients' certificates.",
    )
    client_auth: str = option(
        kinds.choice(*CLIENT_AUTH, complaint="unknown authentication type '{}'"),
        default="nocert",
        help="Whether clients are asked for a certificate, and whether it is checked.",
    )

    REFUSED: ClassVar = {
        "keylog": "is not supported: the secrets of sessions are never written down",
    }

    secures_streams: ClassVar = True

    @property
    def files(self) -> TlsFiles:
        """The same in the terms of the server."""
        return TlsFiles(self.certificate, self.key, self.ca, self.client_auth)


def install(settings: Settings, block: BlockDraft) -> None:
    """Read the files and add what secures the streams."""
    try:
        block.add(StreamSecurity(settings.files, block.context.clock))
    except ConfigurationError as error:
        raise ConfigurationError(f"plugin/tls: {error}") from None


DIRECTIVE = Directive("tls", Settings, install=install, summary="Certificates for TLS and HTTPS.")
