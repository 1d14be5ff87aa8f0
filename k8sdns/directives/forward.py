"""``forward``: questions under a zone go to other name servers (CoreDNS plugin/forward)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, ClassVar

from k8sdns import records
from k8sdns.authorities.forward import ForwardSettings
from k8sdns.authorities.forwardservice import (
    ForwardService,
    system_surroundings,
    with_file_options,
)
from k8sdns.authorities.nextforward import NextForward
from k8sdns.authorities.polling import signature
from k8sdns.authorities.upstream.destination import DEFAULT_PORTS, BadDestination, Destination
from k8sdns.authorities.upstream.destinations import Target, Targets, target, targets
from k8sdns.authorities.upstream.health import Probe
from k8sdns.authorities.upstream.hostnames import HostName
from k8sdns.authorities.upstream.policies import FORWARD_POLICIES
from k8sdns.authorities.upstream.tls import BadCertificate, tls_for
from k8sdns.authorities.upstream.upstream import TransportSettings
from k8sdns.corefile import kinds
from k8sdns.corefile.kinds import Kind
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    Mistake,
    argument,
    arguments,
    flag,
    option,
    options,
    parsed,
)
from k8sdns.server.draft import BlockDraft


def _target(token: Token, context: Context) -> Target:
    try:
        return target(token.text, context.path(token.text), takes_host_names=True)
    except BadDestination as error:
        raise ValueError(str(error)) from None


def _resolver(token: Token, context: Context) -> Destination:
    return Destination(*kinds.address(DEFAULT_PORTS["dns"]).convert(token, context))


def _rcode(word: str) -> int:
    number = records.RCODES.get(word.upper())
    if number is None:
        raise ValueError(f"'{word}' is not a valid rcode: write a name such as SERVFAIL")
    return number


def _failover_rcode(word: str) -> int:
    number = _rcode(word)
    if number == records.NOERROR:
        raise ValueError("NoError cannot be used in failover")
    return number


def _tls(line: Line, context: Context) -> tuple[str, ...]:
    if len(line) > 4:
        raise ValueError("tls takes at most three files: [CA | CERT KEY | CERT KEY CA]")
    return tuple(context.path(token.text) for token in line[1:])


def _source_address(word: str) -> str:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        raise ValueError(f"'{word}' is not an IP address") from None
    return str(getattr(address, "ipv4_mapped", None) or address)


def _health_check(line: Line, context: Context) -> Probe:
    """Read ``health_check DURATION [no_rec] [domain FQDN]``."""
    if len(line) < 2:
        raise ValueError("health_check needs a duration, such as 0.5s")
    period: float = kinds.duration(0).convert(line[1], context)
    probe = Probe(period)
    words = list(line[2:])
    while words:
        word = words.pop(0)
        if word.text == "no_rec":
            probe = probe._replace(is_recursive=False)
        elif word.text == "domain" and words:
            probe = probe._replace(domain=kinds.domain().convert(words.pop(0), context))
        else:
            raise ValueError(f"health_check: invalid parameter '{word.text}'")
    return probe


@dataclass(frozen=True)
class Settings:
    """Answers with what other name servers say about the names under a zone."""

    from_: bytes = argument(kinds.zone("FROM"), help="The zone whose names are forwarded.")
    to: tuple[Target, ...] = arguments(
        Kind("TO", "an address or host name, dns://… and tls://… too, or a resolv.conf", _target),
        least=1,
        help="Upstreams: addresses or host names with or without a port, or files like "
        "resolv.conf; at most 15.",
    )
    except_: tuple[bytes, ...] = options(
        kinds.zones("NAMES"), help="Names under these go on to the next directive."
    )
    force_tcp: bool = flag(help="Ask over TCP even where the client came by UDP.")
    prefer_udp: bool = flag(help="Try UDP first even where the client came by TCP.")
    expire: float = option(
        kinds.duration(0), default=10.0, help="Idle sockets and connections are closed after this."
    )
    max_age: float = option(
        kinds.duration(0), default=0.0, shown="any", help="Connections are renewed at this age."
    )
    max_idle_conns: int = option(
        kinds.integer(0), default=0, shown="any number", help="Idle connections kept an upstream."
    )
    read_timeout: float | None = option(
        kinds.duration(0.001), default=None, shown="2s", help="How long an upstream may take."
    )
    max_fails: int = option(
        kinds.integer(0), default=2, help="More failed probes in a row mean down; 0: never down."
    )
    max_connect_attempts: int | None = option(
        kinds.integer(0),
        default=None,
        shown="twice the number of upstreams",
        help="Attempts that one question may cost; 0: no bound but time.",
    )
    tls: tuple[str, ...] | None = parsed(
        _tls,
        form="[CA | CERT KEY | CERT KEY CA]",
        default=None,
        gathers=False,
        shown="the system's trust",
        help="Whom to trust and who we are, for tls:// upstreams.",
    )
    tls_servername: str = option(
        kinds.text("NAME"), default="", help="The name in the certificates of tls:// upstreams."
    )
    policy: str | None = option(
        kinds.choice(*FORWARD_POLICIES, complaint="unknown policy '{}'"),
        default=None,
        shown="random",
        help="Whom to ask first.",
    )
    health_check: Probe = parsed(  # noqa: RUF009 - makes a field
        _health_check,
        form="DURATION [no_rec] [domain FQDN]",
        default=Probe(),
        gathers=False,
        shown="0.5s",
        help="How often, and with what, an upstream that failed is probed.",
    )
    max_concurrent: int = option(
        kinds.integer(0),
        default=0,
        shown="20000",
        help="Questions in flight beyond this are refused; 0: the default.",
    )
    next: tuple[int, ...] = options(
        kinds.of_text("RCODE", "the name of an RCODE", _rcode),
        help="On these, ask the next `forward` of the block.",
    )
    next_on_nodata: bool = flag(help="The same where a name has no such records.")
    failover: tuple[int, ...] = options(
        kinds.of_text("RCODE", "the name of an RCODE", _failover_rcode),
        help="On these, ask the next upstream.",
    )
    failfast_all_unhealthy_upstreams: bool = flag(
        help="Fail at once while every upstream is down, instead of asking one all the same."
    )
    source_address: str = option(
        kinds.of_text("IP", "an IP address", _source_address),
        default="",
        shown="any",
        help="The local address that questions leave from.",
    )
    resolver: tuple[Destination, ...] = options(
        Kind("IP[:PORT]", "an IP address with or without a port", _resolver),
        shown="the system's",
        help="Who knows the addresses of host names in TO.",
    )

    ACCEPTED: ClassVar = {
        "doh_method": "is not needed: upstreams are asked over UDP, TCP and TLS",
    }

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        found = self.targets
        if self.max_age and self.max_age < self.expire:
            raise Mistake("max_age must not be less than expire", "max_age")
        named = (each.server_name for each in found.words if not isinstance(each, str))
        if self.tls_servername and any(named):
            raise Mistake(
                "tls_servername and a name behind % in TO exclude each other", "tls_servername"
            )
        if self.tls:
            try:
                tls_for(self.tls, self.tls_servername)
            except BadCertificate as error:
                raise Mistake(str(error), "tls") from None

    @property
    def targets(self) -> Targets:
        """The upstreams; raises ValueError where there are too many or none."""
        try:
            return targets([self._certified(each) for each in self.to])
        except BadDestination as error:
            raise ValueError(str(error)) from None

    def _certified(self, word: Target) -> Target:
        """Have the certificate of a host name carry that name, unless another is given."""
        if not isinstance(word, HostName) or word.server_name or self.tls_servername:
            return word
        return word._replace(server_name=word.name.removesuffix("."))

    @property
    def forwarding(self) -> ForwardSettings:
        """The same in the terms of the authority."""
        transport = TransportSettings(
            read_timeout=self.read_timeout or 2.0,
            expire=self.expire,
            max_age=self.max_age,
            max_idle=self.max_idle_conns,
            tls=tls_for(self.tls or (), self.tls_servername),
        )
        return ForwardSettings(
            zone=self.from_,
            excepted=self.except_,
            policy=self.policy or "random",
            force_tcp=self.force_tcp,
            prefer_udp=self.prefer_udp,
            max_fails=self.max_fails,
            max_connect_attempts=self.max_connect_attempts,
            max_concurrent=self.max_concurrent,
            failover=frozenset(self.failover),
            next_rcodes=frozenset(self.next),
            next_on_nodata=self.next_on_nodata,
            fails_fast=self.failfast_all_unhealthy_upstreams,
            transport=transport,
            probe=self.health_check,
        )


def _service(settings: Settings, block: BlockDraft) -> ForwardService:
    """Return the running forward for these settings, of an earlier generation if there is one."""
    context = block.context
    source = settings.source_address
    around = context.share.take(
        ("surroundings", source), lambda: system_surroundings(context.reactor, source)
    )

    def make() -> ForwardService:
        found = settings.targets
        files = found.read()
        forwarding = with_file_options(
            settings.forwarding,
            files,
            has_policy=settings.policy is not None,
            has_timeout=settings.read_timeout is not None,
        )
        return ForwardService(
            forwarding, found, files, around, context.metrics, resolvers=settings.resolver
        )

    key = ("forward", settings, signature(settings.tls or ()))
    return context.share.take(key, make)


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one authority a stanza, in the order of the file: the first that matches answers.

    One with `next` hands questions on to the one behind it.
    """
    block.serves_any_class = True
    chained: list[Any] = []
    for settings in reversed(stanzas):
        forward: Any = _service(settings, block).forward
        if chained and (settings.next or settings.next_on_nodata):
            forward = NextForward(forward, chained[0], settings.forwarding)
        chained.insert(0, forward)
    for forward in chained:
        block.add(forward)


DIRECTIVE = Directive(
    "forward",
    Settings,
    install=install,
    once=False,
    summary="Ask other name servers.",
)
