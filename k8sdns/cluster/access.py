"""How a Kubernetes API server is reached, as one value that never shows a secret.

Owns: the shape, equality (a reload keeps a watch whose access did not change) and redaction.
Refuses to know where the values come from (credentials) and how they are used (client).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from k8sdns.errors import ConfigurationError, K8sDNSError


class AccessError(K8sDNSError):
    """Credentials cannot be had now: the request fails, it never goes out anonymously."""


class Secret:
    """Bytes that no repr, log line, error message or dump shows; `reveal` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else value

    def reveal(self) -> bytes:
        """Return the secret itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "<secret>"


@dataclass(frozen=True)
class Pem:
    """PEM text, held inline or read from `path` at every use, so that rotation is seen.

    Projected volumes swap files by a symbolic link: the path is opened anew each time.
    """

    path: str = ""
    inline: Secret | None = None

    def read(self) -> bytes:
        """Return the PEM text; raises `AccessError` naming the file when it cannot be read."""
        if self.inline is not None:
            return self.inline.reveal()
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except OSError as error:
            raise AccessError(f"cannot read {self.path}: {error.strerror}") from None


@dataclass(frozen=True)
class ExecSpec:
    """An exec credential plugin as the kubeconfig describes it (client.authentication.k8s.io).

    `environment` is added to our own; `cluster` is the JSON of spec.cluster, or empty when
    provideClusterInfo is off. Values of `environment` may be secrets and are not shown.
    """

    command: str
    arguments: tuple[Secret, ...] = ()
    environment: tuple[tuple[str, Secret], ...] = ()
    api_version: str = "client.authentication.k8s.io/v1"
    cluster: Secret | None = None


@dataclass(frozen=True)
class ClusterAccess:
    """Everything needed to open a connection to one API server and be let in.

    `server` is a URL without a trailing slash. `token_file` wins over `token` while it can be
    read (client-go). `tls_server_name` replaces the host name in SNI and in the check of the
    certificate. `proxy` is the URL of an HTTP proxy that understands CONNECT; it may hold a
    password and is therefore a secret. `ca` None means the platform's trust.
    """

    server: str
    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    token: Secret | None = None
    token_file: str = ""
    basic: Secret | None = None
    exec_plugin: ExecSpec | None = None
    tls_server_name: str = ""
    insecure: bool = False
    proxy: Secret | None = None

    def first_host(self) -> str:
        """Return the host that connections are made to: the proxy's, or the API server's."""
        url = self.proxy.reveal().decode() if self.proxy else self.server
        return urlsplit(url).hostname or ""


def require(condition: object, message: str) -> None:
    """Raise `ConfigurationError` with `message` unless `condition` holds."""
    if not condition:
        raise ConfigurationError(message)
