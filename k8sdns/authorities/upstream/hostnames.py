"""Upstreams by host name: the spellings of such a TO, and the addresses behind it.

Owns how a name becomes addresses (CoreDNS plugin/forward/resolve.go): IPv4 before IPv6, from the
first of the given servers that knows any, or as the system looks names up. Refuses to say when.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.upstream.attempt import Attempt, Outcome
from k8sdns.authorities.upstream.destination import (
    DEFAULT_PORTS,
    Destination,
    Scheme,
    split_port,
)
from k8sdns.authorities.upstream.failure import UpstreamFailure
from k8sdns.authorities.upstream.query import query_of
from k8sdns.authorities.upstream.upstream import Surroundings, Upstream
from k8sdns.errors import ConfigurationError

_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class HostName(NamedTuple):
    """A host name with port and transport; `server_name` is what the certificate names."""

    name: str
    port: int
    scheme: Scheme = "dns"
    server_name: str = ""

    def __str__(self) -> str:
        """Return ``name:port``."""
        return f"{self.name}:{self.port}"

    def at(self, address: str) -> Destination:
        """Return the upstream at one of its addresses."""
        return Destination(address, self.port, self.scheme, self.server_name)


def parse(text: str) -> HostName | None:
    """Return the HostName of `text`, or None where it cannot be one; raises `BadDestination`.

    A name whose last label is all digits is a mistyped address (RFC 1123 §2.1).
    """
    word, has_scheme, rest = text.partition("://")
    if not has_scheme:
        word, rest = "dns", text
    scheme: Scheme = "tls" if word == "tls" else "dns"
    if word not in DEFAULT_PORTS:
        return None
    name, port = split_port(rest, DEFAULT_PORTS[scheme])
    name, _, server_name = name.partition("%")
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        return None
    return HostName(name, port, scheme, server_name)


async def addresses_of(
    host: HostName, resolvers: Sequence[Destination], around: Surroundings
) -> list[Destination]:
    """Return the upstreams behind a name; raises ConfigurationError if there is none."""
    try:
        if resolvers:
            found = await _asked(host.name, resolvers, around)
        else:
            found = await around.network.addresses_of(host.name)
    except UpstreamFailure as error:
        raise _unresolved(host, resolvers, str(error)) from None
    if not found:
        raise _unresolved(host, resolvers, "no addresses found")
    return [host.at(address) for address in found]


def _unresolved(
    host: HostName, resolvers: Sequence[Destination], reason: str
) -> ConfigurationError:
    remedy = (
        ""
        if resolvers
        else " (names that only this server knows need an address here, "
        "or a `resolver` that knows them)"
    )
    return ConfigurationError(f'plugin/forward: failed to resolve "{host.name}": {reason}{remedy}')


async def _asked(name: str, resolvers: Sequence[Destination], around: Surroundings) -> list[str]:
    """Return what the first of `resolvers` says that knows any address; raises its failure."""
    failure: UpstreamFailure | None = None
    for resolver in resolvers:
        upstream = Upstream(resolver, around)
        try:
            found: list[str] = []
            for rtype in (records.A, records.AAAA):
                outcome = await _One(upstream, Question(names.from_text(name), rtype)).done
                if isinstance(outcome, UpstreamFailure):
                    failure = outcome
                    break
                found += _addresses(outcome, rtype)
        finally:
            # Its attempt is over, and done with once this turn is.
            around.clock.callLater(0, upstream.close)
        if found:
            return found
    if failure is not None:
        raise failure
    return []


class _One:
    """Who asks an upstream one question; `done` fires with the outcome."""

    def __init__(self, upstream: Upstream, question: Question) -> None:
        self.done: Deferred[Outcome] = Deferred()
        upstream.ask(query_of(question), self)

    def ended(self, _attempt: Attempt, outcome: Outcome) -> None:
        """The attempt is over."""
        self.done.callback(outcome)


def _addresses(answer: Answer, rtype: int) -> list[str]:
    return [str(ipaddress.ip_address(each.rdata)) for each in answer.answer if each.rtype == rtype]
