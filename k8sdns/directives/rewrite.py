"""``rewrite``: questions changed on the way in, answers on the way out (CoreDNS plugin/rewrite)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from k8sdns.corefile.settings import Context, Directive, Stanza
from k8sdns.server.draft import BlockDraft
from k8sdns.server.rewrite import grammar
from k8sdns.server.rewrite.rules import Rule
from k8sdns.server.rewrite.stage import Rewriter


@dataclass(frozen=True)
class Settings:
    """One rule; rules are tried in the order of the file."""

    rule: Rule

    USAGE: ClassVar = """
rewrite [continue|stop] type FROM TO
rewrite [continue|stop] class FROM TO
rewrite [continue|stop] name [exact|prefix|suffix|substring|regex] FROM TO [answer …]…
rewrite [continue|stop] ttl [exact|prefix|suffix|substring|regex] NAME TTL|MIN-MAX|MIN-|-MAX
rewrite [continue|stop] rcode [exact|prefix|suffix|substring|regex] NAME OLD NEW
rewrite [continue|stop] cname [exact|prefix|suffix|substring|regex] FROM TO
rewrite [continue|stop] edns0 local set|append|replace CODE VALUE [revert]
rewrite [continue|stop] edns0 local unset CODE
rewrite [continue|stop] edns0 nsid set|append|replace|unset [revert]
rewrite [continue|stop] edns0 subnet set|append|replace V4BITS V6BITS [revert]
rewrite [continue|stop] edns0 subnet unset
"""

    @classmethod
    def from_stanza(cls, stanza: Stanza, _context: Context) -> Settings:
        """Read one rule; words between braces go on where the line ends."""
        inside = [token for line in stanza.body or () for token in line]
        return cls(grammar.rule([token.text for token in (*stanza.args, *inside)]))


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one stage for all rules of the block."""
    block.add(Rewriter([each.rule for each in stanzas], block.lookup))


DIRECTIVE = Directive(
    "rewrite", Settings, install=install, once=False, summary="Change questions and answers."
)
