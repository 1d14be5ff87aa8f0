"""Words to server blocks: keys, directives, braces, snippets, imports.

Owns: the grammar of the Corefile. Refuses to know what a directive means, what makes a key a zone,
and how the server is built from blocks.

Grammar and wording are CoreDNS's (coredns/caddy, caddyfile/parse.go); a *stanza* is one directive
as it is written.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise

from k8sdns.corefile.environment import EndlessSubstitution, expand
from k8sdns.corefile.imports import ImportProblem, Imports, read_text
from k8sdns.corefile.lexer import Token, tokens
from k8sdns.corefile.order import unknown_directive
from k8sdns.errors import CorefileError

# CoreDNS's bound against snippets that import each other.
MAX_SNIPPET_EXPANSIONS = 10_000
# Imports multiply (ten lines that import ten lines that …): their product is bounded too.
MAX_IMPORTED_WORDS = 1_000_000

Line = tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a server block as written, variables replaced: ``dns://example.org:1053``."""

    text: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Stanza:
    """One directive as written: ``word args… { body } rest…``.

    `body` holds the lines between the braces, braces that nest as ordinary words; None without
    braces. `brace` is the opening brace: it may stand on a later line, which directives refuse.
    """

    word: str
    args: tuple[Token, ...]
    body: tuple[Line, ...] | None
    rest: tuple[Token, ...]
    brace: Token | None
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """A server block: its keys and its stanzas in the order of the text, imports in place."""

    keys: tuple[Key, ...]
    stanzas: tuple[Stanza, ...]
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Corefile:
    """What a Corefile says.

    `files` are the absolute paths of all files read for it, itself first if it is one; `patterns`
    those of the globs, whose matches may change; `warnings` are sentences for the log.
    """

    blocks: tuple[Block, ...]
    files: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def load(path: str, environ: Mapping[str, str], words: Collection[str] | None = None) -> Corefile:
    """Read the file `path` and parse it; raises `CorefileError`, also if it cannot be read."""
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CorefileError(f"cannot read the Corefile: {reason}", path) from error
    return _Parser(text, path, environ, words, files=(os.path.abspath(path),)).corefile()


def parse(
    text: str,
    file: str = "Corefile",
    environ: Mapping[str, str] | None = None,
    words: Collection[str] | None = None,
) -> Corefile:
    """Parse `text`; imports are relative to the folder of `file`, which need not exist.

    `words` are the directives that there are; None accepts every word. Raises `CorefileError`.
    """
    return _Parser(text, file, environ or {}, words).corefile()


class _Parser:
    """One pass over the words; imports and snippets are put in front of what is still to read."""

    def __init__(
        self,
        text: str,
        file: str,
        environ: Mapping[str, str],
        words: Collection[str] | None,
        files: tuple[str, ...] = (),
    ) -> None:
        self._environ = environ
        self._words = words
        self._pending = tokens(text, file)[::-1]
        self._last = Token("", file, 1, first=True)
        self._snippets: dict[str, list[Token]] = {}
        self._expansions = 0
        self._spliced = 0
        self._imports = Imports(files)

    def corefile(self) -> Corefile:
        blocks = []
        while self._pending:
            block = self._block()
            if block is not None and block.keys:
                blocks.append(block)
        imports = self._imports
        return Corefile(
            tuple(blocks), tuple(imports.files), tuple(imports.patterns), tuple(imports.warnings)
        )

    def _block(self) -> Block | None:
        begin = self._pending[-1]
        keys = self._keys()
        if len(keys) == 1 and keys[0].text[:1] == "(" and keys[0].text[-1:] == ")":
            self._define_snippet(keys[0].text[1:-1])
            return None
        stanzas: list[Stanza] = []
        if self._next_is("{"):
            self._take()
            closed = self._stanzas(stanzas)
            # As in CoreDNS, a last brace that closed a directive's body passes for the block's too.
            if not closed and self._last.text != "}":
                raise self._syntax_error(self._last, "}")
        else:
            self._stanzas(stanzas)
        return Block(tuple(keys), tuple(stanzas), begin.file, begin.line)

    def _keys(self) -> list[Key]:
        keys: list[Key] = []
        expecting = False
        begun = False
        while self._pending:
            token = self._pending[-1]
            if begun and not expecting and token.first:
                return keys
            text = self._expanded(token).text
            if text == "import" and token.first:
                self._import()
                continue
            if text == "{":
                if expecting:
                    raise self._error(
                        token, "Expected another address but had '{' - check for extra comma"
                    )
                return keys
            self._take()
            begun = True
            if text:
                expecting = text.endswith(",")
                keys.append(Key(text.removesuffix(","), token.file, token.line))
        if expecting:
            raise self._error(self._last, "Unexpected EOF: a key is expected after the comma")
        return keys

    def _stanzas(self, into: list[Stanza]) -> bool:
        """Read stanzas up to a closing brace or the end of the file; tell whether there was one."""
        while self._pending:
            token = self._pending[-1]
            if token.text == "}":
                self._take()
                return True
            if token.text == "import":
                self._import()
            else:
                into.append(self._stanza())
        return False

    def _stanza(self) -> Stanza:
        begin = self._take()
        word = self._expanded(begin).text
        if self._words is not None and word not in self._words:
            raise self._error(begin, unknown_directive(word, self._words))
        following = self._following(word)
        args, body, rest = _split(following)
        brace = following[len(args)] if body is not None else None
        return Stanza(
            word,
            self._all_expanded(args),
            None if body is None else tuple(self._all_expanded(line) for line in _lines(body)),
            self._all_expanded(rest),
            brace,
            begin.file,
            begin.line,
        )

    def _following(self, word: str) -> list[Token]:
        """Take the words behind the directive `word`: its line and the lines of its braces."""
        taken: list[Token] = []
        depth = 0
        while self._pending:
            token = self._pending[-1]
            if token.text == "{":
                depth += 1
            elif token.first and not depth:
                break
            elif token.text == "}":
                if not depth:
                    raise self._error(token, "Unexpected '}' because no matching opening brace")
                depth -= 1
            elif token.text == "import" and token.first:
                self._import()
                continue
            taken.append(self._take())
        if depth:
            raise self._error(self._last, f"Unexpected EOF: a closing brace of '{word}' is missing")
        return taken

    def _define_snippet(self, name: str) -> None:
        if not self._next_is("{"):
            at = self._pending[-1] if self._pending else self._last
            raise self._syntax_error(at, "{")
        if name in self._snippets:
            raise self._error(
                self._pending[-1], f"redeclaration of previously declared snippet {name}"
            )
        self._take()
        words = self._snippet_words()
        for word, argument in pairwise(words):
            if word.text == "import" and word.first and self._expanded(argument).text == name:
                raise self._error(self._last, _too_deep("snippet", name))
        self._snippets[name] = words

    def _snippet_words(self) -> list[Token]:
        words: list[Token] = []
        depth = 1
        while self._pending:
            token = self._take()
            depth += (token.text == "{") - (token.text == "}")
            if not depth:
                return words
            words.append(token)
        raise self._syntax_error(self._last, "}")

    def _import(self) -> None:
        """Put what ``import NAME`` stands for in front of the words that are still to read."""
        begin = self._take()
        if not self._pending or self._pending[-1].first:
            raise self._error(
                begin, "Wrong argument count or unexpected line ending after 'import'"
            )
        name = self._expanded(self._take()).text
        if not name:
            raise self._error(begin, "Import requires a non-empty filepath")
        if self._pending and not self._pending[-1].first:
            raise self._error(begin, "Import takes only one argument (glob pattern or file)")
        self._splice(begin, self._words_of(begin, name))

    def _words_of(self, begin: Token, name: str) -> list[Token]:
        if name not in self._snippets:
            try:
                return self._imports.words_of(name, begin.file)
            except ImportProblem as problem:
                raise self._error(begin, self._import_remedy(str(problem), name)) from problem
        self._expansions += 1
        if self._expansions > MAX_SNIPPET_EXPANSIONS:
            raise self._error(begin, _too_deep("snippet", name))
        return self._snippets[name]

    def _import_remedy(self, problem: str, name: str) -> str:
        near = get_close_matches(name, self._snippets, n=1)
        return f"{problem} (did you mean the snippet '{near[0]}'?)" if near else problem

    def _splice(self, begin: Token, words: list[Token]) -> None:
        self._spliced += len(words)
        if self._spliced > MAX_IMPORTED_WORDS:
            raise self._error(begin, f"imports come to more than {MAX_IMPORTED_WORDS} words")
        self._pending.extend(reversed(words))

    def _take(self) -> Token:
        self._last = self._pending.pop()
        return self._last

    def _next_is(self, text: str) -> bool:
        return bool(self._pending) and self._pending[-1].text == text

    def _expanded(self, token: Token) -> Token:
        try:
            text = expand(token.text, self._environ)
        except EndlessSubstitution as error:
            raise self._error(token, str(error)) from error
        return token if text == token.text else replace(token, text=text)

    def _all_expanded(self, line: Iterable[Token]) -> Line:
        return tuple(self._expanded(token) for token in line)

    @staticmethod
    def _error(token: Token, message: str) -> CorefileError:
        return CorefileError(f"Error during parsing: {message}", token.file, token.line)

    @staticmethod
    def _syntax_error(token: Token, expected: str) -> CorefileError:
        return CorefileError(
            f"Syntax error: Unexpected token '{token.text}', expecting '{expected}'",
            token.file,
            token.line,
        )


def _split(words: list[Token]) -> tuple[list[Token], list[Token] | None, list[Token]]:
    """Return the arguments, what stands between the first braces (None without), and the rest."""
    opening = next((at for at, word in enumerate(words) if word.text == "{"), None)
    if opening is None:
        return words, None, []
    depth = 0
    for at in range(opening, len(words)):
        depth += (words[at].text == "{") - (words[at].text == "}")
        if not depth:
            break
    return words[:opening], words[opening + 1 : at], words[at + 1 :]


def _lines(body: list[Token]) -> list[list[Token]]:
    lines: list[list[Token]] = []
    for token in body:
        if token.first or not lines:
            lines.append([])
        lines[-1].append(token)
    return lines


def _too_deep(what: str, name: str) -> str:
    return (
        f"maximum {what} import depth ({MAX_SNIPPET_EXPANSIONS}) exceeded: '{name}' imports itself"
    )
