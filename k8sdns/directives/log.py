"""``log``: the query log (CoreDNS plugin/log)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from k8sdns import names
from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, arguments, options
from k8sdns.server.draft import BlockDraft
from k8sdns.server.querylog import ALL, COMMON, JSON, QueryLog, Rule, compiled


@dataclass(frozen=True)
class Settings:
    """Logs a line for each query, with what became of it."""

    words: tuple[str, ...] = arguments(
        kinds.text("NAME"),
        help="Names whose queries are logged, with all below them; of several words the last is "
        "the format if it holds a `{`.",
        shown=".",
    )
    class_: tuple[str, ...] = options(
        kinds.choice(ALL, "success", "denial", "error", complaint="invalid Class: {}"),
        help="Log only replies of these classes.",
        shown=ALL,
    )

    USAGE = "log [NAMES…] [FORMAT] {\n    class all|success|denial|error…\n}"

    def check(self, context: Context) -> None:
        """Judge the names; say it where a format is taken for one."""
        for name in self.names:
            names.from_text(name)
        if len(self.words) == 1 and "{" in self.words[0]:
            context.warnings.append(
                f"plugin/log: '{self.words[0]}' is taken for a name, as CoreDNS does: "
                f"write log . {self.words[0]}"
            )

    @property
    def has_format(self) -> bool:
        """Tell whether the last word is a format."""
        return len(self.words) > 1 and "{" in self.words[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The names as they are written."""
        return (self.words[:-1] if self.has_format else self.words) or (".",)

    @property
    def format(self) -> str:
        """The format of the lines."""
        return self.words[-1] if self.has_format else COMMON


def _rules(settings: Settings) -> Iterator[Rule]:
    line = compiled(settings.format)
    classes = frozenset(settings.class_ or (ALL,))
    for name in settings.names:
        yield Rule(names.from_text(name), classes, line, settings.format == JSON)


def install(stanzas: tuple[Settings, ...], block: BlockDraft) -> None:
    """Add one observer for all rules of the block."""
    block.add(QueryLog(rule for settings in stanzas for rule in _rules(settings)))


DIRECTIVE = Directive("log", Settings, install=install, once=False, summary="Log every query.")
