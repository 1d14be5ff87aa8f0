"""The TO words of `forward` and `proxy`: addresses, host names, and files of addresses.

Owns CoreDNS's rules about a list of upstreams (plugin/forward/setup.go): at most 15, each once,
in the order given. Refuses to know Corefiles.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from k8sdns.authorities.upstream import hostnames
from k8sdns.authorities.upstream.destination import BadDestination, Destination, parse
from k8sdns.authorities.upstream.hostnames import HostName
from k8sdns.authorities.upstream.resolvconf import ResolvConf, read_all

MAX_UPSTREAMS = 15

Target: TypeAlias = "Destination | HostName | str"
"""One TO: an address, a host name, or the path of a file in the format of resolv.conf."""


class Targets(NamedTuple):
    """All TO words, in the order given, each once."""

    words: tuple[Target, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The files among them."""
        return tuple(each for each in self.words if isinstance(each, str))

    @property
    def host_names(self) -> tuple[HostName, ...]:
        """The host names among them."""
        return tuple(each for each in self.words if isinstance(each, HostName))

    def read(self) -> ResolvConf:
        """Return what the files say now; raises OSError."""
        return read_all(self.paths)

    def upstreams(
        self,
        files: ResolvConf,
        addresses: Mapping[HostName, Sequence[Destination]] | None = None,
    ) -> list[Destination]:
        """Return everybody, each once; a word stands for as many as are behind it."""
        in_files = dict(zip(self.paths, files.by_file, strict=False))
        found: list[Destination] = []
        for word in self.words:
            if isinstance(word, Destination):
                found.append(word)
            elif isinstance(word, HostName):
                found.extend((addresses or {}).get(word, ()))
            else:
                found.extend(in_files.get(word, ()))
        return list(dict.fromkeys(found))


def target(text: str, path: str, *, takes_host_names: bool = False) -> Target:
    """Return what `text` stands for, `path` if that file exists; raises `BadDestination`."""
    found: Target | None = parse(text)
    if found is None and os.path.isfile(path):
        return path
    if found is None and takes_host_names:
        found = hostnames.parse(text)
    if found is not None:
        return found
    remedy = "write an address such as 192.0.2.1:53, or the path of a resolv.conf"
    if takes_host_names:
        raise BadDestination(f"not an IP address, file, or valid domain: '{text}' ({remedy})")
    raise BadDestination(f"not an IP address or file: '{text}' ({remedy})")


def targets(found: Sequence[Target]) -> Targets:
    """Return all of them together; raises `BadDestination` for too many or none at all."""
    together = Targets(tuple(dict.fromkeys(found)))
    try:
        named = together.read()
    except OSError as error:
        raise BadDestination(f"cannot read {error.filename}: {error.strerror}") from None
    count = len(together.upstreams(named)) + len(together.host_names)
    judge_number(count)
    if not count:
        raise BadDestination(f"no valid upstream addresses found in {', '.join(together.paths)}")
    return together


def judge_number(count: int) -> None:
    """Raise `BadDestination` for too many upstreams."""
    if count > MAX_UPSTREAMS:
        raise BadDestination(f"more than {MAX_UPSTREAMS} TOs configured: {count}")
