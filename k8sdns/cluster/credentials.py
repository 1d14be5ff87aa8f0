"""Where the access to a cluster comes from: the pod we run in, a kubeconfig, or a URL.

Owns: the order of preference, the files of a kubeconfig and how they merge, the environment's
proxies. It alone imports the `kubernetes` package, only where that is needed, and takes no more
from it than parsed configuration: the package's own way to use it writes private keys to /tmp,
blocks on exec plugins and goes on anonymously when they fail.

The name of the API server, like those an exec plugin asks for, is looked up by the system's
resolver (getaddrinfo in a thread). Where /etc/resolv.conf points at this very server, give an
address; in a cluster KUBERNETES_SERVICE_HOST is one.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import yaml

from k8sdns.cluster.access import AccessError, ClusterAccess, Pem, Secret, require
from k8sdns.cluster.kubeconfig import KubeConfig, Named, proxy_url, server_url
from k8sdns.cluster.tls import policy_for
from k8sdns.cluster.tokens import Grant
from k8sdns.errors import ConfigurationError

__all__ = ["ClusterAccess", "access_for", "from_endpoint", "from_kubeconfig", "in_cluster"]

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def access_for(
    *,
    kubeconfig: str = "",
    context: str = "",
    endpoint: str = "",
    tls: tuple[str, str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
    service_account: str = SERVICE_ACCOUNT,
) -> ClusterAccess:
    """Return the access that the options of `kubernetes` ask for.

    A kubeconfig beats an endpoint, which beats the cluster we run in (CoreDNS); outside of a
    cluster KUBECONFIG is used. `tls` is (certificate, key, CA) file names. Raises
    `ConfigurationError`, which says what to do about it and repeats no secret.
    """
    if kubeconfig:
        return from_kubeconfig(kubeconfig, context, environ)
    if endpoint:
        return from_endpoint(endpoint, tls, environ)
    if not environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBECONFIG"):
        return from_kubeconfig("", context, environ)
    return in_cluster(environ, service_account)


def in_cluster(
    environ: Mapping[str, str] = os.environ, service_account: str = SERVICE_ACCOUNT
) -> ClusterAccess:
    """Return the access that every pod is given: its environment and its service account.

    Read without the `kubernetes` package on purpose: it would cost each pod 20 MB of memory.
    """
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    port = environ.get("KUBERNETES_SERVICE_PORT", "")
    require(
        host and port,
        "not inside a Kubernetes pod (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are"
        " empty); use kubeconfig FILE, endpoint URL or manifests PATH",
    )
    token_file = os.path.join(service_account, "token")
    try:
        with open(token_file, "rb") as file:
            found = file.read().strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {token_file}: {error.strerror}; the pod needs a service account"
            " (automountServiceAccountToken)"
        ) from None
    require(found, f"{token_file} is empty; the pod needs a service account's token")
    access = ClusterAccess(
        server=server_url(f"https://{_bracketed(host)}:{port}", uses_tls=True, where="in-cluster"),
        ca=Pem(os.path.join(service_account, "ca.crt")),
        token_file=token_file,
    )
    return _checked(access, environ)


def from_endpoint(
    url: str, tls: tuple[str, str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> ClusterAccess:
    """Return the access of ``endpoint URL`` and ``tls CERT KEY CA``."""
    certificate, key, ca = (Pem(path) for path in tls) if tls else (None, None, None)
    server = server_url(url, uses_tls=tls is not None, where="endpoint")
    return _checked(ClusterAccess(server, ca=ca, certificate=certificate, key=key), environ)


def from_kubeconfig(
    files: str = "", context: str = "", environ: Mapping[str, str] = os.environ
) -> ClusterAccess:
    """Return the access of a context of kubeconfig files, separated as in PATH.

    Without `files` KUBECONFIG names them. Files that are missing are passed over as long as one
    is there, as kubectl does.
    """
    names = files or environ.get("KUBECONFIG", "")
    require(names, "no kubeconfig file was named")
    return _checked(_merged(names).access(context, environ), environ)


def _merged(names: str) -> KubeConfig:
    from kubernetes.config.kube_config import (  # noqa: PLC0415 - heavy, and few need it
        KubeConfigMerger,
    )

    try:
        merger: Any = KubeConfigMerger(names)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise ConfigurationError(f"cannot read {error.filename}: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{names}{where} is not valid YAML") from None
    except Exception:  # noqa: BLE001 - whatever it stumbles over; its texts quote secrets
        raise ConfigurationError(f"{names} is no kubeconfig") from None
    require(merger.paths, f"no kubeconfig file {names}")
    return KubeConfig(
        contexts=_entries(merger, "contexts"),
        clusters=_entries(merger, "clusters"),
        users=_entries(merger, "users"),
        current_context=_current_context(merger),
        source=names,
    )


def _entries(merger: Any, kind: str) -> list[Named]:
    nodes = merger.config.value[kind]
    return [Named(node.value, node.path) for node in nodes if isinstance(node.value, dict)]


def _current_context(merger: Any) -> str:
    """Return the first file's current-context, as kubectl does (the package takes the last)."""
    for path in merger.paths:
        current = merger.config_files[path].get("current-context")
        if isinstance(current, str) and current:
            return current
    return ""


def _checked(access: ClusterAccess, environ: Mapping[str, str]) -> ClusterAccess:
    """Return `access` with the environment's proxy, after a trial of its keys and certificates."""
    if access.proxy is None:
        proxy = _proxy_of_environment(access.server, environ)
        if proxy is not None:
            access = replace(access, proxy=proxy)
    try:
        policy_for(access, Grant())
    except AccessError as error:
        raise ConfigurationError(str(error)) from None
    return access


def _proxy_of_environment(url: str, environ: Mapping[str, str]) -> Secret | None:
    """Return the proxy of HTTPS_PROXY or HTTP_PROXY, minding NO_PROXY, as Go's clients do."""
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    text = environ.get(name.upper()) or environ.get(name)
    if not text or _is_local(parts.hostname or ""):
        return None
    exceptions = environ.get("NO_PROXY") or environ.get("no_proxy")
    if exceptions:
        from kubernetes.client.rest import (  # noqa: PLC0415 - heavy, and few need it
            should_bypass_proxies,
        )

        if should_bypass_proxies(url, exceptions):
            return None
    return proxy_url(text, name.upper())


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
