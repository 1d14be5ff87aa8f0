"""The TO words of `forward` and `proxy`: addresses, and files of them.

Owns CoreDNS's rules about a list of upstreams (plugin/forward/setup.go): at most 15, each once,
in the order given. Refuses to know Corefiles.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from k8sdns.authorities.upstream.destination import BadDestination, Destination, parse
from k8sdns.authorities.upstream.resolvconf import ResolvConf, read_all

MAX_UPSTREAMS = 15


class Targets(NamedTuple):
    """Upstreams as written: addresses, and paths of files in the format of resolv.conf."""

    fixed: tuple[Destination, ...] = ()
    paths: tuple[str, ...] = ()

    def read(self) -> ResolvConf:
        """Return what the files say now; raises OSError."""
        return read_all(self.paths)


def target(text: str, path: str) -> Destination | str:
    """Return the address that `text` is, or `path` if that file exists; raises `BadDestination`."""
    found = parse(text)
    if found is not None:
        return found
    if os.path.isfile(path):
        return path
    raise BadDestination(
        f"not an IP address or file: '{text}' (host names are not resolved here: write an "
        "address such as 192.0.2.1:53, or the path of a resolv.conf)"
    )


def targets(found: Sequence[Destination | str]) -> Targets:
    """Return all of them together; raises `BadDestination` for too many or none at all."""
    fixed = tuple(dict.fromkeys(each for each in found if isinstance(each, Destination)))
    paths = tuple(dict.fromkeys(each for each in found if isinstance(each, str)))
    try:
        named = read_all(paths).servers
    except OSError as error:
        raise BadDestination(f"cannot read {error.filename}: {error.strerror}") from None
    count = len(dict.fromkeys((*fixed, *named)))
    if count > MAX_UPSTREAMS:
        raise BadDestination(f"more than {MAX_UPSTREAMS} TOs configured: {count}")
    if not count:
        raise BadDestination(f"no valid upstream addresses found in {', '.join(paths)}")
    return Targets(fixed, paths)
