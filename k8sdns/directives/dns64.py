"""``dns64``: IPv6 addresses for what has IPv4 addresses only (CoreDNS plugin/dns64)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from k8sdns.answers import Question
from k8sdns.authorities.dns64 import PREFIX_LENGTHS, Dns64, Prefix
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Mistake, argument, flag, option
from k8sdns.metrics import DNS64_TRANSLATED
from k8sdns.server.draft import BlockDraft

WELL_KNOWN = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


def _prefix(word: str) -> Prefix:
    try:
        prefix = ipaddress.IPv6Network(word, strict=False)
    except ValueError:
        raise ValueError(f"'{word}' is no IPv6 prefix: write it like {WELL_KNOWN}") from None
    if "/" not in word or prefix.prefixlen not in PREFIX_LENGTHS:
        raise ValueError(f"'{word}': the length of the prefix is one of {PREFIX_LENGTHS}")
    return prefix


_PREFIX = kinds.of_text("PREFIX", "an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits", _prefix)


@dataclass(frozen=True)
class Settings:
    """Makes AAAA records for names that have A records only."""

    word_prefix: Prefix | None = argument(  # noqa: RUF009 - makes a field
        _PREFIX,
        default=None,
        shown=str(WELL_KNOWN),
        help="Where the IPv4 addresses are put; may stand between the braces instead.",
    )
    prefix: Prefix | None = option(  # noqa: RUF009 - makes a field
        _PREFIX, default=None, help="The same."
    )
    translate_all: bool = flag(help="Do it for names that have AAAA records, too, and hide those.")
    allow_ipv4: bool = flag(help="Do it for queries that come over IPv4, too.")

    def check(self, _context: Context) -> None:
        """Judge what fields cannot judge alone."""
        if self.word_prefix is not None and self.prefix is not None:
            raise Mistake("the prefix is given twice", "prefix")


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage."""
    translations = block.context.metrics.counter(DNS64_TRANSLATED)

    def translated(question: Question) -> None:
        translations.add(getattr(question.server, "name", ""))

    block.add(
        Dns64(
            settings.word_prefix or settings.prefix or WELL_KNOWN,
            translates_all=settings.translate_all,
            for_ipv4=settings.allow_ipv4,
            translated=translated,
        )
    )


DIRECTIVE = Directive("dns64", Settings, install=install, summary="AAAA records made from A.")
