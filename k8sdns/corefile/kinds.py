"""Kinds of words in a Corefile: how each becomes a value, and what it is called in documentation.

Owns: conversion of single words and their complaints. Refuses to know where a word may stand.

A *kind* turns one word into one value (`many`: into a tuple of values). Times are float seconds,
zones are wire names, paths are absolute.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Generic, Protocol, TypeVar

from k8sdns import names
from k8sdns.corefile import zones as zone_keys
from k8sdns.corefile.durations import go_duration, seconds
from k8sdns.corefile.goregex import GoRegex
from k8sdns.corefile.lexer import Token
from k8sdns.corefile.patterns import MAX_PATTERN_LENGTH, compiled
from k8sdns.errors import CorefileError

T_co = TypeVar("T_co", covariant=True)


class Placed(Protocol):
    """Anything that knows where it was written: a token, a stanza, a key."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...


@dataclass(slots=True)
class Context:
    """What a directive's words are read against.

    `word` is the directive, `zones` the zones of its block, `root` the folder that relative paths
    start from (empty: the working directory), `warnings` collects sentences for the log.
    """

    word: str
    zones: tuple[bytes, ...] = (names.ROOT,)
    root: str = ""
    warnings: list[str] = field(default_factory=list)

    def error(self, message: str, at: Placed) -> CorefileError:
        """Return the error to raise for a mistake at `at`."""
        return CorefileError(f"plugin/{self.word}: {message}", at.file, at.line)

    def warn(self, message: str, at: Placed) -> None:
        """Keep a sentence about something that is accepted but not what it seems."""
        self.warnings.append(f"{at.file}:{at.line} - plugin/{self.word}: {message}")

    def path(self, text: str) -> str:
        """Return `text` as an absolute path; relative ones start from the block's root."""
        return os.path.abspath(os.path.join(self.root, text))


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A kind of word: `name` stands for it in documentation, `says` describes it in a few words.

    `convert` raises `ValueError` with a message for the user. `show` writes a default value.
    """

    name: str
    says: str
    convert: Callable[[Token, Context], T_co]
    many: bool = False
    show: Callable[[Any], str] = str


def of_text(name: str, says: str, convert: Callable[[str], T_co]) -> Kind[T_co]:
    """Return a kind that needs the word alone."""
    return Kind(name, says, lambda token, _context: convert(token.text))


def text(name: str = "TEXT", says: str = "any word") -> Kind[str]:
    """Any word, as it is."""
    return of_text(name, says, str)


def integer(least: int | None = None, most: int | None = None, name: str = "N") -> Kind[int]:
    """A decimal integer from `least` to `most`."""
    says = "an integer" + _bounds(least, most)

    def convert(word: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", word):
            raise ValueError(f"'{word}' is not {says}")
        return _bounded(int(word), word, says, least, most)

    return of_text(name, says, convert)


def number(
    least: float | None = None, most: float | None = None, name: str = "NUMBER"
) -> Kind[float]:
    """A decimal number from `least` to `most`; never infinite."""
    says = "a number" + _bounds(least, most)

    def convert(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"'{word}' is not {says}")
        return _bounded(value, word, says, least, most)

    return of_text(name, says, convert)


def duration(
    least: float | None = None,
    most: float | None = None,
    *,
    bare_seconds: bool = False,
    name: str = "DURATION",
) -> Kind[float]:
    """A time as Go writes it (``1m30s``), in seconds; `bare_seconds` allows ``5`` too."""
    says = "a duration such as 5s or 1m30s" + _bounds(
        least if least is None else go_duration(least),
        most if most is None else go_duration(most),
    )

    def convert(word: str) -> float:
        if bare_seconds and re.fullmatch(r"[0-9]{1,18}", word):
            return _bounded(float(word), word, says, least, most)
        try:
            value = seconds(word)
        except ValueError:
            raise ValueError(f"'{word}' is not {says}") from None
        return _bounded(value, word, says, least, most)

    return Kind(name, says, lambda token, _context: convert(token.text), show=go_duration)


def choice(*words: str, complaint: str | None = None) -> Kind[str]:
    """One of `words`; `complaint` is the message about another, with ``{}`` for it."""
    listed = ", ".join(words)

    def convert(word: str) -> str:
        if word not in words:
            near = get_close_matches(word, words, n=1)
            remedy = f" (did you mean '{near[0]}'?)" if near else ""
            form = complaint or "'{}' is not known here"
            choices = "" if listed in form else f"; one of {listed}"
            raise ValueError(f"{form.replace('{}', word)}{remedy}{choices}")
        return word

    return of_text("|".join(words), f"one of {listed}", convert)


def zone(name: str = "ZONE") -> Kind[bytes]:
    """One zone; of an address range that comes to several, the first, with a warning."""

    def convert(token: Token, context: Context) -> bytes:
        found = zone_keys.zones(token.text)
        if len(found) > 1:
            context.warn(
                f"Unsupported CIDR notation: '{token.text}' expands to multiple zones. "
                f"Using only '{names.to_text(found[0])}'.",
                token,
            )
        return found[0]

    return Kind(name, "a zone, or an address range as its reverse zone", convert, show=show_names)


def zones(name: str = "ZONES") -> Kind[tuple[bytes, ...]]:
    """Zones, address ranges expanded; text that is no zone is dropped, as in CoreDNS, but said."""

    def convert(token: Token, context: Context) -> tuple[bytes, ...]:
        try:
            return zone_keys.zones(token.text)
        except zone_keys.BadZone as error:
            context.warn(f"'{token.text}' is ignored: {error}", token)
            return ()

    return Kind(
        name, "zones, or address ranges as their reverse zones", convert, many=True, show=show_names
    )


def domain(name: str = "NAME") -> Kind[bytes]:
    """A domain name."""

    def convert(word: str) -> bytes:
        try:
            return names.from_text(word)
        except (names.BadName, UnicodeError) as error:
            raise ValueError(f"'{word}' is not a valid domain name: {error}") from None

    return Kind(name, "a domain name", lambda token, _context: convert(token.text), show=show_names)


def path(name: str = "FILE") -> Kind[str]:
    """A file or folder, made absolute; relative ones start from `root`."""

    def convert(token: Token, context: Context) -> str:
        if not token.text or "\0" in token.text:
            raise ValueError("a path cannot be empty or hold a zero octet")
        return context.path(token.text)

    return Kind(name, "a path, relative ones below the block's root", convert)


def ip(name: str = "IP") -> Kind[str]:
    """An IPv4 or IPv6 address, in its canonical spelling; a scope id is kept."""

    def convert(word: str) -> str:
        try:
            return str(ipaddress.ip_address(word))
        except ValueError:
            raise ValueError(f"'{word}' is not an IP address") from None

    return of_text(name, "an IP address", convert)


def address(port: int, name: str = "IP[:PORT]") -> Kind[tuple[str, int]]:
    """An IP address with or without a port, as (address, port); `port` is the default."""

    def convert(word: str) -> tuple[str, int]:
        try:
            return split_address(word, port)
        except ValueError:
            raise ValueError(
                f"'{word}' is not an IP address with or without a port: "
                "write 192.0.2.1, 192.0.2.1:53, 2001:db8::1 or [2001:db8::1]:53"
            ) from None

    return of_text(name, f"an IP address, port {port} unless one is given", convert)


def split_address(word: str, port: int) -> tuple[str, int]:
    """Split ``IP``, ``IP:port``, ``[IPv6]`` or ``[IPv6]:port``; raises `ValueError`."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?", word)
    match = bracketed or re.fullmatch(r"([^:]+):([0-9]{1,5})", word)
    host, digits = match.groups() if match else (word, None)
    found = int(digits) if digits else port
    if found > 65535:
        raise ValueError(f"port {found} is not between 0 and 65535")
    return str(ipaddress.ip_address(host)), found


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `host` (empty: all addresses of both families) and `port`, or `endpoint`.

    `endpoint` is a Twisted endpoint description such as ``unix:/run/health.sock``; empty without.
    """

    host: str
    port: int
    endpoint: str = ""

    def __str__(self) -> str:
        if self.endpoint:
            return self.endpoint
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(name: str = "ADDRESS") -> Kind[Listen]:
    """``HOST:PORT``, ``:PORT``, or a Twisted endpoint description."""
    says = "HOST:PORT, :PORT or a Twisted endpoint such as unix:/run/k8sdns.sock"

    def convert(word: str) -> Listen:
        # "tcp:8080" reads as an endpoint: nobody calls a host by the name of an endpoint's kind.
        if re.match(r"(tcp|tcp6|ssl|tls|unix|systemd|fd|haproxy|autoaccept):", word):
            return Listen("", 0, word)
        match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})", word)
        if match is None or int(match[3]) > 65535:
            raise ValueError(f"'{word}' is not an address to listen on: write {says}")
        return Listen(match[1] or match[2] or "", int(match[3]))

    return of_text(name, says, convert)


def regex(name: str = "REGEXP") -> Kind[GoRegex]:
    """A regular expression as Go writes it."""
    says = f"a regular expression of at most {MAX_PATTERN_LENGTH} characters"
    return of_text(name, says, compiled)


def show_names(value: bytes | tuple[bytes, ...]) -> str:
    """Return names in text, separated by spaces."""
    found = (value,) if isinstance(value, bytes) else value
    return " ".join(names.to_text(name) for name in found)


def _bounds(least: object, most: object) -> str:
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if least is not None:
        return f" of at least {least}"
    return "" if most is None else f" of at most {most}"


N = TypeVar("N", int, float)


def _bounded(value: N, word: str, says: str, least: N | None, most: N | None) -> N:
    if (least is not None and value < least) or (most is not None and value > most):
        raise ValueError(f"'{word}' is not {says}")
    return value
