"""``proxy``: the forwarding of CoreDNS before 1.5 (v1.2.5 plugin/proxy), on today's transports.

Corefiles of that time go on to work. What its sockets were like, one a question, is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from k8sdns.authorities.forward import ForwardSettings
from k8sdns.authorities.forwardservice import (
    ForwardService,
    system_surroundings,
    with_file_options,
)
from k8sdns.authorities.upstream.destination import BadDestination
from k8sdns.authorities.upstream.destinations import Target, Targets, target, targets
from k8sdns.authorities.upstream.pages import PageCheck
from k8sdns.authorities.upstream.policies import PROXY_POLICIES
from k8sdns.authorities.upstream.upstream import TransportSettings
from k8sdns.corefile import kinds
from k8sdns.corefile.kinds import Kind
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import (
    Context,
    Directive,
    Line,
    argument,
    arguments,
    flag,
    option,
    options,
    parsed,
)
from k8sdns.server.draft import BlockDraft

GIVE_UP_SECONDS = 10.0  # less than what the server itself waits; CoreDNS tried for 16


def _target(token: Token, context: Context) -> Target:
    try:
        return target(token.text, context.path(token.text))
    except BadDestination as error:
        raise ValueError(str(error)) from None


def _protocol(line: Line, _context: Context) -> bool:
    """Read ``protocol dns [force_tcp]``; return whether TCP is forced."""
    words = [token.text for token in line[1:]]
    if not words:
        raise ValueError("write: protocol dns [force_tcp]")
    if words[0] == "grpc":
        raise ValueError("protocol grpc is not supported: upstreams are asked by dns")
    if words[0] != "dns":
        raise ValueError(f"invalid protocol: {words[0]}")
    if words[1:] not in ([], ["force_tcp"]):
        raise ValueError(f"only force_tcp allowed as parameter to dns: '{' '.join(words[1:])}'")
    return bool(words[1:])


def _health_check(line: Line, context: Context) -> PageCheck:
    """Read ``health_check PATH:PORT [DURATION]``."""
    if not 2 <= len(line) <= 3:
        raise ValueError("write: health_check PATH:PORT [DURATION], such as /health:8080 4s")
    path, colon, port = line[1].text.rpartition(":")
    if not colon:
        raise ValueError(f"'{line[1].text}' has no port: write PATH:PORT, such as /health:8080")
    if not re.fullmatch(r"/[!-~]*", path):
        raise ValueError(f"'{path}' is no path: it begins with / and has no spaces")
    word = replace(line[1], text=port)
    number = kinds.integer(1, 65535).convert(word, context) if port else 0  # 0: the upstream's own
    if len(line) == 2:
        return PageCheck(path, number)
    return PageCheck(path, number, kinds.duration(0.1).convert(line[2], context))


@dataclass(frozen=True)
class Settings:
    """Answers with what other name servers say; `forward` is what to write today."""

    from_: bytes = argument(kinds.zone("FROM"), help="The zone whose names are forwarded.")
    to: tuple[Target, ...] = arguments(
        Kind("TO", "an address with or without a port, or a file like resolv.conf", _target),
        least=1,
        help="Upstreams; at most 15.",
    )
    policy: str | None = option(
        kinds.choice(*PROXY_POLICIES, complaint="unknown policy '{}'"),
        default=None,
        shown="random",
        help="Whom to ask first.",
    )
    fail_timeout: float = option(
        kinds.duration(0), default=5.0, help="How long one failure counts."
    )
    max_fails: int = option(
        kinds.integer(0), default=3, help="Failures that count before one is down; 0: never."
    )
    health_check: PageCheck | None = parsed(  # noqa: RUF009 - makes a field
        _health_check,
        form="PATH:PORT [DURATION]",
        default=None,
        gathers=False,
        shown="off",
        help="A page that hosts of upstreams must show over HTTP, asked for every 4s.",
    )
    except_: tuple[bytes, ...] = options(
        kinds.zones("NAMES"), help="Names under these go on to the next directive."
    )
    spray: bool = flag(help="Ask one by chance while all are down, instead of failing.")
    protocol: bool = parsed(
        _protocol,
        form="dns [force_tcp]",
        default=False,
        gathers=False,
        shown="dns",
        help="Plain DNS, by force over TCP.",
    )

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        _ = self.targets

    @property
    def targets(self) -> Targets:
        """The upstreams; raises ValueError where there are too many or none."""
        try:
            return targets(self.to)
        except BadDestination as error:
            raise ValueError(str(error)) from None

    @property
    def forwarding(self) -> ForwardSettings:
        """The same in the terms of the authority."""
        return ForwardSettings(
            zone=self.from_,
            excepted=self.except_,
            policy=self.policy or "random",
            force_tcp=self.protocol,
            max_fails=self.max_fails,
            fail_timeout=self.fail_timeout,
            page_check=self.health_check,
            max_connect_attempts=0,
            fails_fast=not self.spray,
            give_up_after=GIVE_UP_SECONDS,
            nobody="unreachable backend: no upstream host",
            transport=TransportSettings(),
        )


def _service(settings: Settings, block: BlockDraft) -> ForwardService:
    context = block.context
    around = context.share.take(("surroundings", ""), lambda: system_surroundings(context.reactor))

    def make() -> ForwardService:
        found = settings.targets
        files = found.read()
        forwarding = with_file_options(
            settings.forwarding, files, has_policy=settings.policy is not None, has_timeout=False
        )
        return ForwardService(forwarding, found, files, around, context.metrics, "proxy")

    return context.share.take(("proxy", settings), make)


def install(stanzas: Sequence[Settings], block: BlockDraft) -> None:
    """Add one authority a stanza: the longest zone answers, whatever the order of the file."""
    block.serves_any_class = True
    for settings in sorted(stanzas, key=lambda each: len(each.from_), reverse=True):
        block.add(_service(settings, block).forward)


DIRECTIVE = Directive(
    "proxy",
    Settings,
    install=install,
    once=False,
    summary="Ask other name servers, as Corefiles before CoreDNS 1.5 say it.",
)
