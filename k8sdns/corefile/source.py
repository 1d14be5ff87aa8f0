"""Where a Corefile's text comes from: a file, standard input, or CoreDNS's default without either.

Owns: finding and reading it, with errors that name it. Refuses to know what the text says.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NamedTuple

from k8sdns.corefile.imports import MAX_FILE_OCTETS, read_text
from k8sdns.errors import ConfigurationError

STDIN_NAMES: Final = ("stdin", "-")


class CorefileText(NamedTuple):
    """A Corefile's text, the name in its errors, and where to read it again (None: nowhere)."""

    text: str
    name: str
    path: str | None


def read_corefile(name: str | None, port: int) -> CorefileText:
    """Return the Corefile `name`; None means ``./Corefile``, or CoreDNS's default without one.

    Raises `ConfigurationError` for what cannot be read or is too large.
    """
    if name is None and not os.path.exists("Corefile"):
        return CorefileText(f".:{port} {{\n    whoami\n    log\n}}\n", "", None)
    name = name or "Corefile"
    if name in STDIN_NAMES:
        octets = sys.stdin.buffer.read(MAX_FILE_OCTETS)
        return CorefileText(octets.decode("utf-8", "replace"), name, None)
    try:
        return CorefileText(read_text(name), name, os.path.abspath(name))
    except OSError as error:
        raise ConfigurationError(f"{name} - cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{name} - cannot be read: {error}") from None
