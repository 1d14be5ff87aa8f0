"""``root``: the folder that relative paths of a block start from (CoreDNS plugin/root)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from k8sdns.corefile import kinds
from k8sdns.corefile.settings import Context, Directive, argument


@dataclass(frozen=True)
class Settings:
    """Relative paths in this block are below this folder."""

    base_folder: str = argument(kinds.path("PATH"), help="The folder; it should exist.")

    def check(self, context: Context) -> None:
        """Say it where the folder is missing: it may be mounted later."""
        if not os.path.isdir(self.base_folder):
            context.warnings.append(f"plugin/root: Root path does not exist: {self.base_folder}")


DIRECTIVE = Directive(
    "root", Settings, install=None, summary="Folder that relative paths start from."
)
