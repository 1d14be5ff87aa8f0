"""The files that ``import`` names: paths, globs, and the bounds on them.

Owns: finding and reading imported files, and the record of what was read. Refuses to know the
grammar around ``import`` and snippets.

Rules and wording are CoreDNS's (coredns/caddy, caddyfile/parse.go).
"""

from __future__ import annotations

import glob
import os
from pathlib import Path

from k8sdns.corefile.lexer import Token, tokens

MAX_FILE_EXPANSIONS = 100_000
MAX_FILE_OCTETS = 16 * 1024 * 1024


class ImportProblem(ValueError):
    """An import that cannot be made; the message is for the user."""


def read_text(path: str) -> str:
    """Return the text of a file; what is not UTF-8 becomes U+FFFD, as in CoreDNS.

    Raises `OSError`, and `ValueError` for a file over `MAX_FILE_OCTETS`.
    """
    with Path(path).open("rb") as file:
        octets = file.read(MAX_FILE_OCTETS + 1)
    if len(octets) > MAX_FILE_OCTETS:
        raise ValueError(f"it is larger than {MAX_FILE_OCTETS} octets")
    return octets.decode("utf-8", "replace")


class Imports:
    """The imports of one Corefile: `files`, `patterns` (absolute), and `warnings` for the log."""

    def __init__(self, files: tuple[str, ...] = ()) -> None:
        self.files: dict[str, None] = dict.fromkeys(files)
        self.patterns: dict[str, None] = {}
        self.warnings: list[str] = []
        self._expansions = 0

    def words_of(self, name: str, importer: str) -> list[Token]:
        """Return the words of the files that `name` matches, relative to the folder of `importer`.

        Raises `ImportProblem`.
        """
        self._expansions += 1
        if self._expansions > MAX_FILE_EXPANSIONS:
            raise ImportProblem(
                f"maximum file import depth ({MAX_FILE_EXPANSIONS}) exceeded: "
                "files that import each other never end"
            )
        words: list[Token] = []
        for path in self._matches(name, importer):
            words.extend(self._read(path))
        return words

    def _matches(self, name: str, importer: str) -> list[str]:
        if "\0" in name:
            raise ImportProblem("a path cannot hold a zero octet")
        pattern = os.path.join(os.path.dirname(os.path.abspath(importer)), name)
        if pattern.count("*") > 1 or pattern.count("?") > 1 or {"[", "]"} <= set(pattern):
            raise ImportProblem(
                f"Glob pattern may only contain one wildcard (*), but has others: {pattern}"
            )
        # Names that begin with a dot match too in CoreDNS, unlike in a shell.
        matches = sorted(glob.glob(pattern, include_hidden=True))
        if set("*?[]") & set(pattern):
            self.patterns[pattern] = None
            if not matches:
                self.warnings.append(f"No files matching import glob pattern: {name}")
        elif not matches:
            raise ImportProblem(f"File to import not found: {name}")
        return [os.path.normpath(match) for match in matches]

    def _read(self, path: str) -> list[Token]:
        try:
            text = read_text(path)
        except IsADirectoryError as error:
            raise ImportProblem(f"Could not import {path}: is a directory") from error
        except OSError as error:
            raise ImportProblem(f"Could not import {path}: {error.strerror}") from error
        except ValueError as error:
            raise ImportProblem(f"Could not import {path}: {error}") from error
        self.files[path] = None
        return tokens(text, path)
