"""A Corefile that was understood: blocks, where they listen, and the settings of every directive.

Owns everything that can be judged of the text, without opening, starting or connecting anything.
Refuses to build.

Some settings are about their whole block, and say so by an attribute that is looked for here:
``base_folder`` (where relative paths start), ``listen_hosts`` (local addresses to listen on),
``is_view`` (the block answers only some queries), ``secures_streams`` (the block has TLS) and
``needs`` (words that must stand in the same block).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from k8sdns import names
from k8sdns.corefile import order, parser
from k8sdns.corefile.directive import Directive
from k8sdns.corefile.kinds import Context
from k8sdns.corefile.parser import Block, Corefile, Key, Stanza
from k8sdns.corefile.reading import read_directive
from k8sdns.corefile.source import CorefileText
from k8sdns.corefile.zones import Address, Claim, check_overlaps, key_addresses
from k8sdns.errors import CorefileError
from k8sdns.server.listeners import ListenKey

SCHEMES = ("dns", "tls", "https")
BUILT_IN = ". {\n    whoami\n    log\n}\n"


@dataclass(frozen=True)
class PlannedBlock:
    """One server block: its addresses, the hosts it listens on, its directives in chain order.

    `written_at` is the place of each word, as (file, line), for errors that building it may bring.
    """

    addresses: tuple[Address, ...]
    hosts: tuple[str, ...]  # () is every address
    directives: tuple[tuple[Directive, Any], ...]
    root: str
    file: str
    line: int
    written_at: Mapping[str, tuple[str, int]] = field(default_factory=dict, compare=False)

    @property
    def zones(self) -> tuple[bytes, ...]:
        """The zones of the block's keys, each once."""
        return tuple(dict.fromkeys(address.zone for address in self.addresses))

    @property
    def places(self) -> Iterator[tuple[Address, str]]:
        """Every (address, host) that the block listens on; host "" is every one."""
        for address in self.addresses:
            for host in self.hosts or ("",):
                yield address, host


@dataclass(frozen=True)
class Plan:
    """What is to be served; `files` and `patterns` are what the text was read from."""

    blocks: tuple[PlannedBlock, ...]
    files: tuple[str, ...]
    patterns: tuple[str, ...]
    warnings: tuple[str, ...]
    default_port: int
    source: CorefileText
    corefile: Corefile  # what it was made of, imports and variables put in
    folder: str = ""

    @property
    def processes(self) -> int:
        """How many processes are to answer; 1 is this one."""
        wanted = (
            getattr(settings, "processes", 1)
            for block in self.blocks
            for _directive, settings in block.directives
        )
        return max(wanted, default=1)

    @property
    def listeners(self) -> dict[ListenKey, tuple[str, int]]:
        """Where it is served, each once, and the file and line that say so."""
        found: dict[ListenKey, tuple[str, int]] = {}
        for block in self.blocks:
            for address, host in block.places:
                key = ListenKey(address.scheme, host, address.port)
                begins = (block.file, block.line)
                found.setdefault(key, block.written_at.get("bind", begins) if host else begins)
        return found

    @property
    def banner(self) -> list[str]:
        """One line a zone and listener, as CoreDNS prints them: ``example.org.:1053``."""
        lines = []
        for block in self.blocks:
            for address, host in block.places:
                scheme = "" if address.scheme == "dns" else f"{address.scheme}://"
                where = f" on {host}" if host else ""
                lines.append(f"{scheme}{names.to_text(address.zone)}:{address.port}{where}")
        return sorted(lines)


def plan(
    source: CorefileText,
    directives: Mapping[str, Directive],
    *,
    default_port: int,
    environ: Mapping[str, str],
    folder: str = "",
) -> Plan:
    """Understand a Corefile wholly; raises CorefileError for the first mistake.

    A text without any block stands for CoreDNS's built-in one. Relative paths start in `folder`
    ("": the working folder) until a block's `root` says otherwise.
    """
    corefile = parser.parse(source.text, _file(source), environ, directives)
    if not corefile.blocks:
        corefile = parser.parse(BUILT_IN, "built-in Corefile", environ, directives)
    return planned(corefile, source, directives, default_port=default_port, folder=folder)


def planned(
    corefile: Corefile,
    source: CorefileText,
    directives: Mapping[str, Directive],
    *,
    default_port: int,
    folder: str = "",
) -> Plan:
    """Understand a parsed Corefile: the same, without a look at any text."""
    warnings = list(corefile.warnings)
    blocks = tuple(
        _planned(block, directives, default_port, folder, warnings) for block in corefile.blocks
    )
    check_overlaps(claim for block in blocks for claim in _claims(block))
    return Plan(
        blocks,
        corefile.files,
        corefile.patterns,
        tuple(warnings),
        default_port,
        source,
        corefile,
        folder,
    )


def parsed(source: CorefileText, environ: Mapping[str, str]) -> Corefile:
    """Parse a Corefile without judging its directives."""
    return parser.parse(source.text, _file(source), environ)


def _file(source: CorefileText) -> str:
    """Return what to call the text in errors: as it was named, while that still leads to it."""
    if source.path is None or os.path.abspath(source.name) == source.path:
        return source.name or "Corefile"
    return source.path


def _planned(
    block: Block,
    directives: Mapping[str, Directive],
    default_port: int,
    folder: str,
    warnings: list[str],
) -> PlannedBlock:
    addresses = []
    for key in block.keys:
        for address in key_addresses(key, default_port):
            if address.scheme not in SCHEMES:
                raise CorefileError(
                    f"{address.scheme}:// is not served: use {', '.join(SCHEMES)}",
                    key.file,
                    key.line,
                )
            addresses.append(address)
    zones = tuple(dict.fromkeys(address.zone for address in addresses))
    read = _read(block, directives, Context("", zones, folder, warnings))
    if not any(getattr(settings, "secures_streams", False) for settings in _each(read)):
        _judge_unsecured(block.keys, warnings)
    _judge_needs(block, read)
    hosts = [host for settings in _each(read) for host in getattr(settings, "listen_hosts", ())]
    return PlannedBlock(
        tuple(addresses),
        tuple(dict.fromkeys(hosts)),
        tuple((directive, settings) for directive, settings, _ in read),
        read[-1][2] if read else folder,
        block.file,
        block.line,
        {stanza.word: (stanza.file, stanza.line) for stanza in block.stanzas},
    )


def _read(
    block: Block, directives: Mapping[str, Directive], around: Context
) -> list[tuple[Directive, Any, str]]:
    """Return (directive, settings, root folder so far) for each word, in chain order."""
    stanzas: dict[str, list[Stanza]] = {}
    for stanza in block.stanzas:
        stanzas.setdefault(stanza.word, []).append(stanza)
    root = around.root
    read = []
    for word in _ordered(stanzas, directives):
        context = replace(around, word=word, root=root)
        settings = read_directive(directives[word], stanzas[word], context)
        root = getattr(settings, "base_folder", root)
        read.append((directives[word], settings, root))
    return read


def _judge_unsecured(keys: Iterable[Key], warnings: list[str]) -> None:
    """Refuse ``tls://`` in a block without TLS; ``https://`` may stand behind a proxy."""
    for key in keys:
        if key.text.startswith("tls://"):
            raise CorefileError(
                f"{key.text} needs a certificate: add the directive `tls CERT KEY` to its block",
                key.file,
                key.line,
            )
        if key.text.startswith("https://"):
            warnings.append(
                f"{key.file}:{key.line} - {key.text} is served in clear text, for a proxy in "
                "front of it; without one, add the directive `tls CERT KEY` to its block"
            )


def _judge_needs(block: Block, read: Iterable[tuple[Directive, Any, str]]) -> None:
    """Refuse a directive that works with another one which its block has not."""
    places = {stanza.word: stanza for stanza in block.stanzas}
    for directive, _settings, _root in read:
        for word in getattr(directive.settings, "needs", ()):
            if word not in places:
                raise CorefileError(
                    f"plugin/{directive.word}: {word} plugin not loaded: add `{word}` to the block",
                    places[directive.word].file,
                    places[directive.word].line,
                )


def _each(read: Iterable[tuple[Directive, Any, str]]) -> Iterator[Any]:
    """Yield the settings of every stanza: of words that may be repeated, each of them."""
    for directive, settings, _root in read:
        yield from (settings,) if directive.once else settings


def _ordered(
    words: Mapping[str, Sequence[Stanza]], directives: Mapping[str, Directive]
) -> list[str]:
    follows = {word: d.follows for word, d in directives.items() if d.follows is not None}
    return order.ranked(words, follows)


def _claims(block: PlannedBlock) -> Iterator[Claim]:
    has_view = any(getattr(settings, "is_view", False) for _, settings in block.directives)
    for address, host in block.places:
        yield Claim(address, host, has_view, block.file, block.line)
