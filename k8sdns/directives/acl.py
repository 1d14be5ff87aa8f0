"""``acl``: who may ask what (CoreDNS plugin/acl)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.acl import (
    AccessControl,
    Action,
    Network,
    Networks,
    Policy,
    Rule,
    Saw,
    Verdict,
)
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import Context, Directive, Line, block_zones, lines
from k8sdns.interfaces import IRouting, IStage
from k8sdns.metrics import ACL_ALLOWED, ACL_BLOCKED, ACL_DROPPED, ACL_FILTERED, Metrics
from k8sdns.server.draft import BlockDraft

_METRICS = {
    "allow": ACL_ALLOWED,
    "block": ACL_BLOCKED,
    "filter": ACL_FILTERED,
    "drop": ACL_DROPPED,
}
_SECTIONS = ("type", "net")
_ALL = "*"


def _policy(line: Line, context: Context) -> Policy:
    action = line[0].text.lower()
    if action not in _METRICS:
        raise ValueError(
            f"unexpected token \"{line[0].text}\"; expect 'allow', 'block', 'filter' or 'drop'"
        )
    types: set[int] | None = None
    networks: list[Network] | None = None
    for section, tokens in _sections(line, context):
        if any(token.text == _ALL for token in tokens):
            continue
        if section == "type":
            types = (types or set()) | {_type(token, context) for token in tokens}
        else:
            networks = (networks or []) + [_network(token, context) for token in tokens]
    return Policy(
        cast("Action", action),
        None if types is None else frozenset(types),
        None if networks is None else Networks(networks),
    )


def _sections(line: Line, context: Context) -> Iterator[tuple[str, list[Token]]]:
    """Yield each section of a line with its tokens: ``type A AAAA``, ``net 192.0.2.0/24``."""
    at = 1
    while at < len(line):
        section = line[at]
        if section.text.lower() not in _SECTIONS:
            raise context.error(
                f"unexpected token \"{section.text}\"; expect 'type | net'", section
            )
        end = at + 1
        while end < len(line) and line[end].text.lower() not in _SECTIONS:
            end += 1
        if end == at + 1:
            raise context.error(f'no token specified in "{section.text}" section', section)
        yield section.text.lower(), list(line[at + 1 : end])
        at = end


def _type(token: Token, context: Context) -> int:
    number = records.type_number(token.text)
    if number is None:
        raise context.error(f'unexpected token "{token.text}"; expect legal QTYPE', token)
    return number


def _network(token: Token, context: Context) -> Network:
    try:
        return ipaddress.ip_network(token.text, strict=False)
    except ValueError:
        raise context.error(f'illegal CIDR notation "{token.text}"', token) from None


@dataclass(frozen=True)
class Settings:
    """Decides by the client's address and the type of the question."""

    zones: tuple[bytes, ...] = block_zones(help="The names that the rule is about.")
    policies: tuple[Policy, ...] = lines(
        _policy,
        form="allow|block|filter|drop [type TYPE…] [net CIDR…]",
        help="What to do with questions of these types from these clients; without a section, or "
        "with *, all of them. The first line that applies decides.",
    )


def _counting(metrics: Metrics, view: str) -> Saw:
    """Return what counts verdicts under CoreDNS's names; `view` is the name of the block's view."""
    counters = {action: metrics.counter(each) for action, each in _METRICS.items()}

    def saw(question: Question, verdict: Verdict) -> None:
        server = getattr(question.server, "name", "")
        if verdict.zone is None or verdict.action == "allow":
            counters["allow"].add(server, view)
        else:
            counters[verdict.action].add(server, names.to_text(verdict.zone), view)

    return saw


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one stage for all rules of the block."""
    rules = [Rule(settings.zones, settings.policies) for settings in stanzas]
    block.add(AccessControl(rules))


def connect(_stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Count under the name of the block's view, which is installed behind all others."""
    view = next((each.name for each in block.all(IRouting)), "")
    for stage in block.all(IStage):
        if isinstance(stage, AccessControl):
            stage.saw = _counting(block.context.metrics, view)


DIRECTIVE = Directive(
    "acl", Settings, install=install, connect=connect, once=False, summary="Who may ask what."
)
