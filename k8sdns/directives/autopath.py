"""``autopath``: clients' search lists walked by the server (CoreDNS plugin/autopath)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from twisted.logger import Logger

from k8sdns.answers import Question
from k8sdns.authorities.upstream import resolvconf
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, Stanza, argument, block_zones, converted
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import ISearchPath, IStage
from k8sdns.metrics import AUTOPATH_SUCCESSES
from k8sdns.server.autopath import Autopath
from k8sdns.server.draft import BlockDraft

log = Logger()

HOST_FILE = "/etc/resolv.conf"


@dataclass(frozen=True)
class Settings:
    """Spares clients the queries that their search lists cost them."""

    zones: tuple[bytes, ...] = block_zones(help="Names outside these zones are left alone.")
    source: str = argument(
        kinds.text("RESOLV-CONF|@DIRECTIVE"),
        help="A file whose `search` all clients have, or the directive that knows clients' lists.",
    )

    USAGE: ClassVar = "autopath [ZONES…] RESOLV-CONF|@DIRECTIVE"

    @classmethod
    def from_stanza(cls, stanza: Stanza, context: Context) -> Settings:
        """Read the words; the last one is the source."""
        if stanza.body is not None:
            raise ValueError(f"there are no options: write {cls.USAGE}")
        if not stanza.args:
            raise ValueError(f"no resolv-conf specified: write {cls.USAGE}")
        *zones, source = stanza.args
        found = converted(kinds.zones(), zones, context) if zones else context.zones
        if source.text.startswith("@"):
            return cls(zones=found, source=source.text)
        return cls(zones=found, source=kinds.path().convert(source, context))


def install(settings: Settings, block: BlockDraft) -> None:
    """Add the stage, with the search list of a file if it is one's."""
    successes = block.context.metrics.counter(AUTOPATH_SUCCESSES)
    path = () if settings.source.startswith("@") else _search_list(settings.source)

    def won(question: Question) -> None:
        successes.add(getattr(question.server, "name", ""))

    block.add(Autopath(settings.zones, lambda _question: path, won))


def connect(settings: Settings, block: BlockDraft) -> None:
    """Find the directive that knows the lists; behind them comes what the host itself searches."""
    if not settings.source.startswith("@"):
        return
    word = settings.source[1:]
    sources = [each for each in block.all(ISearchPath) if getattr(each, "word", "") == word]
    stage = next(each for each in block.all(IStage) if isinstance(each, Autopath))
    if sources:
        host = _host_list()

        def search_path(question: Question) -> tuple[bytes, ...]:
            for source in sources:
                found: tuple[bytes, ...] = source.search_path(question)
                if found:
                    return (*found, *host)
            return ()

        stage.search_path = search_path
    elif word in block.words:
        raise ConfigurationError(f"plugin/autopath: {word} does not know clients' search lists")
    else:
        log.warn("the block has no {word}: autopath does nothing", word=word)


def _search_list(path: str) -> tuple[bytes, ...]:
    try:
        return resolvconf.read(path).search
    except OSError as error:
        raise ConfigurationError(
            f'plugin/autopath: failed to parse "{path}": {error.strerror}'
        ) from None


def _host_list() -> tuple[bytes, ...]:
    try:
        return resolvconf.read(HOST_FILE).search
    except OSError:
        return ()


DIRECTIVE = Directive(
    "autopath",
    Settings,
    install=install,
    connect=connect,
    summary="Walk clients' search lists for them.",
)
