"""resolv.conf: the name servers that a host was told to ask (resolv.conf(5)).

Owns the file's rules, and noticing that it changed. Refuses to know what is done with it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from k8sdns import names
from k8sdns.authorities.upstream.destination import Destination

MAX_SEARCH = 32  # domains of a search list; Kubernetes allows as many
MAX_OCTETS = 65536  # of a file; what is longer is none
_LIMITS = {"timeout": 30, "attempts": 5}  # the resolver library's own caps


class ResolvConf(NamedTuple):
    """What a file says; None for options that it leaves open. `timeout` is in seconds."""

    servers: tuple[Destination, ...] = ()
    timeout: int | None = None
    attempts: int | None = None
    rotate: bool = False
    search: tuple[bytes, ...] = ()  # wire names, in lower case
    by_file: tuple[tuple[Destination, ...], ...] = ()  # of several files, the servers of each


def parse(text: str) -> ResolvConf:
    """Return what `text` says; lines that make no sense are passed over, as resolvers do.

    Unlike the resolver library, which stops at three name servers, all of them are taken.
    """
    servers: dict[Destination, None] = {}
    options: dict[str, int] = {}
    rotate = False
    search: tuple[bytes, ...] = ()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0][0] in "#;":
            continue
        if words[0] == "nameserver":
            servers.update(dict.fromkeys(_server(words[1])))
        elif words[0] == "options":
            rotate = rotate or "rotate" in words
            options.update(_numbers(words[1:]))
        elif words[0] in {"search", "domain"}:
            search = tuple(_domains(words[1:]))  # of several lines the last one counts
    return ResolvConf(
        tuple(servers), options.get("timeout"), options.get("attempts"), rotate, search
    )


def _domains(words: Iterable[str]) -> Iterable[bytes]:
    for word in islice(words, MAX_SEARCH):
        with suppress(names.BadName):
            yield names.from_text(word)


def _server(text: str) -> Iterable[Destination]:
    address, percent, scope = text.partition("%")
    try:
        host = str(ipaddress.ip_address(address))
    except ValueError:
        return
    yield Destination(host + percent + scope, 53)


def _numbers(words: Iterable[str]) -> Iterable[tuple[str, int]]:
    for word in words:
        name, _, value = word.partition(":")
        if name in _LIMITS and value.isdecimal() and len(value) < 9:
            yield name, max(1, min(int(value), _LIMITS[name]))


def read(path: str) -> ResolvConf:
    """Return what the file at `path` says; raises OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return parse(file.read(MAX_OCTETS))


def read_all(paths: Iterable[str]) -> ResolvConf:
    """Return what several files say together, the earlier ones first; raises OSError."""
    found = [read(path) for path in paths]
    servers = dict.fromkeys(server for each in found for server in each.servers)
    return ResolvConf(
        tuple(servers),
        _first(each.timeout for each in found),
        _first(each.attempts for each in found),
        any(each.rotate for each in found),
        by_file=tuple(each.servers for each in found),
    )


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


class Watch:
    """Looks at files now and then; `look` tells `changed` when their name servers did.

    A file that is gone, unreadable or names nobody changes nothing: whoever writes it is not done.
    `complain` is told why.
    """

    def __init__(
        self,
        paths: tuple[str, ...],
        signature: Callable[[Iterable[str]], object],
        changed: Callable[[ResolvConf], None],
        complain: Callable[[str], None],
    ) -> None:
        self._paths = paths
        self._signature = signature
        self._changed = changed
        self._complain = complain
        self._seen = signature(paths)

    def look(self) -> None:
        """Read the files if they are not what they were."""
        seen = self._signature(self._paths)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            found = read_all(self._paths)
        except OSError as error:
            self._complain(f"keeping the upstreams: {error}")
            return
        if not found.servers:
            self._complain(f"keeping the upstreams: no name server in {', '.join(self._paths)}")
            return
        self._changed(found)
