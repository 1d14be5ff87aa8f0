"""``transfer``: whole zones for other name servers (CoreDNS plugin/transfer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from k8sdns.authorities.notify import Notifier
from k8sdns.authorities.transfer import Receivers, TransferAuthority
from k8sdns.authorities.zoneauthority import ZoneAuthority
from k8sdns.corefile import kinds
from k8sdns.corefile.kinds import Kind
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.settings import Context, Directive, Mistake, block_zones, option, options
from k8sdns.interfaces import ITransferable
from k8sdns.server.draft import BlockDraft

_DNS_PORT = 53
ANYBODY = ("*", 0)


def _receiver(token: Token, context: Context) -> tuple[str, int]:
    if token.text == "*":
        return ANYBODY
    found: tuple[str, int] = kinds.address(_DNS_PORT).convert(token, context)
    return found


@dataclass(frozen=True)
class Settings:
    """Lets others transfer the zones that `file`, `auto` and `kubernetes` of the block serve."""

    zones: tuple[bytes, ...] = block_zones(help="The zones, and those below them.")
    to: tuple[tuple[str, int], ...] = options(
        Kind("ADDRESS", "an IP address with or without a port, or * for anybody", _receiver),
        help="Who may: clients with one of these addresses, whatever their port.",
        shown="required",
    )
    source: str = option(
        kinds.ip(), default="", shown="any", help="The local address that notifications leave from."
    )

    def check(self, _context: Context) -> None:
        """Somebody must be named."""
        if not self.to:
            raise Mistake("'to' is required")


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add the authority in front of those whose zones it hands out."""
    receivers = [
        Receivers(
            settings.zones,
            frozenset(host for host, _ in settings.to if host != ANYBODY[0]),
            anybody=ANYBODY in settings.to,
        )
        for settings in stanzas
    ]
    block.add(TransferAuthority(receivers, lambda: block.all(ITransferable)))
    reactor = block.context.reactor
    for settings in stanzas:
        told = tuple(address for address in settings.to if address != ANYBODY)
        if told:
            block.add(
                Notifier(
                    block.context.clock,
                    lambda protocol, local: reactor.listenUDP(0, protocol, interface=local),
                    [(settings.zones, told)],
                    lambda: [each for each in block.all(ITransferable) if _is_told(each)],
                    local=settings.source,
                )
            )


def _is_told(source: Any) -> bool:
    """Tell whether changes are notified: those of files are, those of a cluster never end."""
    return isinstance(source, ZoneAuthority)


DIRECTIVE = Directive(
    "transfer", Settings, install=install, once=False, summary="Zone transfers to other servers."
)
