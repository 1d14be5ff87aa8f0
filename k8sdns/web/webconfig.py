"""The web configuration file of Prometheus's exporters: certificates for a page of metrics.

Owns reading the part that we can do: ``tls_server_config`` with its files. What would make the
page safer than it comes out here is refused, never ignored (prometheus/exporter-toolkit,
docs/web-configuration.md).
"""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple

import yaml

from k8sdns.errors import ConfigurationError

# Names of modes there, and those of `tls` here.
CLIENT_AUTH: Final = {
    "NoClientCert": "nocert",
    "RequestClientCert": "request",
    "RequireAnyClientCert": "require",
    "VerifyClientCertIfGiven": "verify_if_given",
    "RequireAndVerifyClientCert": "require_and_verify",
}
_KNOWN: Final = {"cert_file", "key_file", "client_auth_type", "client_ca_file"}
# Ours is at least as strict: TLS 1.2 with forward secrecy.
_NOT_NEEDED: Final = {"min_version", "prefer_server_cipher_suites"}


class WebConfig(NamedTuple):
    """Paths of PEM files, "" where none is named, and how clients show who they are."""

    certificate: str
    key: str
    client_ca: str
    client_auth: str


def read(path: str) -> WebConfig:
    """Read a web configuration file; raises ConfigurationError that names it."""
    try:
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no YAML: {error}") from None
    return _judged(path, found)


def _judged(path: str, found: Any) -> WebConfig:
    section = found.get("tls_server_config") if isinstance(found, dict) else None
    if not isinstance(section, dict):
        raise ConfigurationError(f"{path} has no tls_server_config")
    unknown = sorted({*map(str, found)} - {"tls_server_config"}) or sorted(
        {*map(str, section)} - _KNOWN - _NOT_NEEDED
    )
    if unknown:
        raise ConfigurationError(f"{path}: {unknown[0]} is not supported here: remove it")
    mode = section.get("client_auth_type") or "NoClientCert"
    if mode not in CLIENT_AUTH:
        raise ConfigurationError(f"{path}: client_auth_type is none of {', '.join(CLIENT_AUTH)}")
    certificate, key = _file(path, section, "cert_file"), _file(path, section, "key_file")
    if not certificate or not key:
        raise ConfigurationError(f"{path}: tls_server_config needs cert_file and key_file")
    return WebConfig(certificate, key, _file(path, section, "client_ca_file"), CLIENT_AUTH[mode])


def _file(path: str, section: dict[Any, Any], name: str) -> str:
    """Return a path of the section; relative ones start from the file's own folder."""
    named = section.get(name) or ""
    if not isinstance(named, str):
        raise ConfigurationError(f"{path}: {name} is no path")
    return os.path.join(os.path.dirname(path), named) if named else ""
