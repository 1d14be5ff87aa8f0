"""What a kubeconfig says, read strictly: contexts, clusters and users to a `ClusterAccess`.

Owns: the fields, relative paths, inline base64, and the refusal of what cannot be supported.
Refuses to know which files there are and how they merge (credentials). No message repeats a
value from the file, because any of them may be a secret.
"""

from __future__ import annotations

import binascii
import os
import shutil
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import field

from k8sdns.cluster.access import ClusterAccess, ExecSpec, Pem, Secret, require
from k8sdns.errors import ConfigurationError

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

T = TypeVar("T")


class ContextEntry(msgspec.Struct):
    cluster: str = ""
    user: str = ""


class Extension(msgspec.Struct):
    name: str = ""
    extension: Any = None


class ClusterEntry(msgspec.Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    extensions: list[Extension] | None = None


class ExecVariable(msgspec.Struct):
    name: str
    value: str


class ExecEntry(msgspec.Struct, rename="camel"):
    command: str
    api_version: str = ""
    args: list[str] | None = None
    env: list[ExecVariable] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class UserEntry(msgspec.Struct, rename="kebab"):
    token: str = ""
    token_file: str = field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    password: str = ""
    exec_plugin: ExecEntry | None = field(default=None, name="exec")
    auth_provider: Any = None
    impersonated: str = field(default="", name="as")
    impersonated_uid: str = field(default="", name="as-uid")
    impersonated_groups: list[str] | None = field(default=None, name="as-groups")
    impersonated_extra: Any = field(default=None, name="as-user-extra")


@dataclass(frozen=True)
class Named:
    """One entry of a kubeconfig's list, and the file that it came from."""

    value: Mapping[str, Any]
    path: str


@dataclass(frozen=True)
class KubeConfig:
    """Merged kubeconfig files: the first file to name an entry wins (kubectl)."""

    contexts: Sequence[Named]
    clusters: Sequence[Named]
    users: Sequence[Named]
    current_context: str
    source: str

    def access(self, context: str = "", environ: Mapping[str, str] = os.environ) -> ClusterAccess:
        """Return the access that `context`, or else the current context, describes.

        Raises `ConfigurationError` for what is missing, malformed or unsupported.
        """
        chosen = context or self.current_context
        require(chosen, f"{self.source}: no current-context; name one: kubeconfig FILE CONTEXT")
        entry, _ = self._entry(self.contexts, "context", chosen, ContextEntry)
        cluster, cluster_file = self._entry(self.clusters, "cluster", entry.cluster, ClusterEntry)
        user, user_file = UserEntry(), ""
        if entry.user:
            user, user_file = self._entry(self.users, "user", entry.user, UserEntry)
        return _access(cluster, cluster_file, user, user_file, environ)

    def _entry(
        self, entries: Sequence[Named], kind: str, name: str, shape: type[T]
    ) -> tuple[T, str]:
        for entry in entries:
            if entry.value.get("name") == name:
                return _convert(entry.value.get(kind) or {}, shape, kind, name, entry.path)
        known = ", ".join(str(entry.value.get("name")) for entry in entries) or "none"
        raise ConfigurationError(f"{self.source}: no {kind} named {name} (there are: {known})")


def _convert(value: Any, shape: type[T], kind: str, name: str, path: str) -> tuple[T, str]:
    if isinstance(value, dict):
        value = {key: part for key, part in value.items() if part is not None}
    try:
        return msgspec.convert(value, shape), path
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {kind} {name}: {error}") from None


def _access(
    cluster: ClusterEntry,
    cluster_file: str,
    user: UserEntry,
    user_file: str,
    environ: Mapping[str, str],
) -> ClusterAccess:
    _refuse_unsupported(user, user_file)
    require(cluster.server, f"{cluster_file}: the cluster has no server")
    ca = _pem(cluster.certificate_authority, cluster.certificate_authority_data, cluster_file)
    require(
        not (ca and cluster.insecure_skip_tls_verify),
        f"{cluster_file}: insecure-skip-tls-verify with a certificate-authority is a contradiction;"
        " remove one of them",
    )
    certificate = _pem(user.client_certificate, user.client_certificate_data, user_file)
    key = _pem(user.client_key, user.client_key_data, user_file)
    require(
        bool(certificate) == bool(key), f"{user_file}: a client certificate and its key go together"
    )
    uses_tls = bool(ca or certificate or cluster.insecure_skip_tls_verify)
    return ClusterAccess(
        server=server_url(cluster.server, uses_tls=uses_tls, where=cluster_file),
        ca=ca,
        certificate=certificate,
        key=key,
        token=Secret(user.token) if user.token else None,
        token_file=_beside(user_file, user.token_file),
        basic=Secret(f"{user.username}:{user.password}") if user.username else None,
        exec_plugin=_exec_spec(user.exec_plugin, user_file, cluster, ca, environ),
        tls_server_name=cluster.tls_server_name,
        insecure=cluster.insecure_skip_tls_verify,
        proxy=proxy_url(cluster.proxy_url, cluster_file) if cluster.proxy_url else None,
    )


def _refuse_unsupported(user: UserEntry, path: str) -> None:
    require(
        user.auth_provider is None,
        f"{path}: auth-provider is not supported (Kubernetes removed it); use an exec plugin",
    )
    impersonates = (
        user.impersonated
        or user.impersonated_uid
        or user.impersonated_groups
        or user.impersonated_extra
    )
    require(
        not impersonates,
        f"{path}: impersonation (as, as-uid, as-groups, as-user-extra) is not supported; use the"
        " credentials of an account that may list and watch",
    )


def _pem(path: str, encoded: str, file: str) -> Pem | None:
    """Return the inline PEM, which wins (kubectl), or that of the file."""
    if encoded:
        try:
            return Pem(inline=Secret(b64decode(encoded, validate=False)))
        except (binascii.Error, ValueError):
            raise ConfigurationError(f"{file}: a *-data field is not base64") from None
    return Pem(_beside(file, path)) if path else None


def _beside(file: str, path: str) -> str:
    """Return `path`, taken relative to the folder of the kubeconfig `file` (kubectl)."""
    return os.path.join(os.path.dirname(os.path.abspath(file)), path) if path else ""


def _exec_spec(
    entry: ExecEntry | None,
    file: str,
    cluster: ClusterEntry,
    ca: Pem | None,
    environ: Mapping[str, str],
) -> ExecSpec | None:
    if entry is None:
        return None
    require(
        entry.api_version in EXEC_VERSIONS,
        f"{file}: exec: apiVersion must be one of {', '.join(EXEC_VERSIONS)}",
    )
    require(
        entry.interactive_mode != "Always",
        f"{file}: exec: interactiveMode Always needs a terminal, which a server has not;"
        " use a plugin that runs on its own",
    )
    return ExecSpec(
        command=_program(entry, file, environ),
        arguments=tuple(Secret(argument) for argument in entry.args or ()),
        environment=tuple((v.name, Secret(v.value)) for v in entry.env or ()),
        api_version=entry.api_version,
        cluster=_cluster_told(cluster, ca) if entry.provide_cluster_info else None,
    )


def _program(entry: ExecEntry, file: str, environ: Mapping[str, str]) -> str:
    command = entry.command
    if os.sep in command:
        command = _beside(file, command)
    path = next((v.value for v in entry.env or () if v.name == "PATH"), environ.get("PATH", ""))
    found = shutil.which(command, path=path)
    hint = f" {entry.install_hint.strip()}" if entry.install_hint else ""
    if found is None:
        raise ConfigurationError(f"{file}: exec: no program {entry.command} to run.{hint}")
    return found


def _cluster_told(cluster: ClusterEntry, ca: Pem | None) -> Secret:
    """Return spec.cluster of KUBERNETES_EXEC_INFO, for plugins with provideClusterInfo."""
    told: dict[str, Any] = {"server": cluster.server}
    if cluster.tls_server_name:
        told["tls-server-name"] = cluster.tls_server_name
    if cluster.insecure_skip_tls_verify:
        told["insecure-skip-tls-verify"] = True
    if ca is not None:
        told["certificate-authority-data"] = ca.read()
    if cluster.proxy_url:
        told["proxy-url"] = cluster.proxy_url
    for extension in cluster.extensions or ():
        if extension.name == "client.authentication.k8s.io/exec":
            told["config"] = extension.extension
    return Secret(msgspec.json.encode(told))


def server_url(text: str, *, uses_tls: bool, where: str) -> str:
    """Return the URL of an API server, normalised; a bare host gets the scheme that fits."""
    if "://" not in text:
        text = f"{'https' if uses_tls else 'http'}://{text}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    require(usable, f"{where}: the API server must be a URL such as https://host:6443")
    require(
        parts.username is None and not parts.query and not parts.fragment,
        f"{where}: the URL of the API server may hold a host, a port and a path only",
    )
    return text.rstrip("/")


def proxy_url(text: str, where: str) -> Secret:
    """Return the URL of an HTTP proxy; raises `ConfigurationError` for any other kind of proxy."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    require(
        usable, f"{where}: only http://host:port proxies (HTTP CONNECT) are supported, not socks5"
    )
    return Secret(parts.geturl())
