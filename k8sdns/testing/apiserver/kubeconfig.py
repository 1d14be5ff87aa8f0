"""A kubeconfig for a server of ours.

Owns: the file's text. Refuses to know: who reads it.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

NAME = "k8sdns-dev"


def kubeconfig(
    url: str,
    *,
    ca_pem: bytes | None = None,
    token: str = "",
    client: tuple[bytes, bytes] | None = None,
) -> str:
    """The YAML text for a server at `url`; `client` is (certificate, key) as PEM."""
    cluster = {"server": url}
    if ca_pem is not None:
        cluster["certificate-authority-data"] = _data(ca_pem)
    # kubectl asks at the terminal for a name and a password when it is given nothing at all.
    user = {} if client is not None and not token else {"token": token or "anybody"}
    if client is not None:
        user["client-certificate-data"], user["client-key-data"] = map(_data, client)
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": NAME,
            "clusters": [{"name": NAME, "cluster": cluster}],
            "users": [{"name": NAME, "user": user}],
            "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        },
        sort_keys=False,
    )


def write(path: str | os.PathLike[str], text: str) -> None:
    """Write the file for its owner alone: it may hold a key."""
    descriptor = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode("ascii")
