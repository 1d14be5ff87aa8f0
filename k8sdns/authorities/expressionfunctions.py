"""What an expression can ask about a question, and what it can do with texts.

Owns: the functions by name with their types. Refuses to know how expressions are written.

The functions of a question are CoreDNS's (plugin/pkg/expression); ports are texts there, and so
they are here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from k8sdns import records
from k8sdns.answers import Question

TEXT, NUMBER, BOOL, LIST = "text", "number", "true or false", "list"

Evaluate = Callable[[Question], Any]


class Function(NamedTuple):
    """A function of a question and of `takes` arguments; `checks` judges constant arguments."""

    takes: tuple[str, ...]
    gives: str
    call: Callable[..., Any]
    checks: Callable[..., Any] | None = None


@lru_cache(256)
def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return a range of addresses; raises `ValueError`."""
    if "/" not in text:
        raise ValueError(f"'{text}' is no range of addresses: write 192.0.2.0/24")
    return ipaddress.ip_network(text, strict=False)


def _in_range(_question: Question, address: str, cidr: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    wanted = network(cidr)
    return found.version == wanted.version and found in wanted


def _metadata(question: Question, label: str) -> str:
    return (question.metadata or {}).get(label, "")


def _bufsize(question: Question) -> int:
    if question.is_stream:
        return 65535
    return max(512, question.edns.payload_size if question.edns else 0)


def _do(question: Question) -> bool:
    return question.edns is not None and question.edns.do


FUNCTIONS: Final[dict[str, Function]] = {
    "incidr": Function((TEXT, TEXT), BOOL, _in_range, lambda _address, cidr: network(cidr)),
    "metadata": Function((TEXT,), TEXT, _metadata),
    "type": Function((), TEXT, lambda q: records.type_name(q.qtype)),
    "name": Function((), TEXT, lambda q: q.name_text),
    "class": Function((), TEXT, lambda q: records.class_name(q.qclass)),
    "proto": Function((), TEXT, lambda q: q.protocol),
    "size": Function((), NUMBER, lambda q: q.size),
    "client_ip": Function((), TEXT, lambda q: q.peer.host),
    "port": Function((), TEXT, lambda q: str(q.peer.port)),
    "id": Function((), NUMBER, lambda q: q.id),
    "opcode": Function((), NUMBER, lambda q: q.opcode),
    "do": Function((), BOOL, _do),
    "bufsize": Function((), NUMBER, _bufsize),
    "server_ip": Function((), TEXT, lambda q: q.local.host),
    "server_port": Function((), TEXT, lambda q: str(q.local.port)),
    "len": Function((TEXT,), NUMBER, lambda _, text: len(text)),
    "lower": Function((TEXT,), TEXT, lambda _, text: text.lower()),
    "upper": Function((TEXT,), TEXT, lambda _, text: text.upper()),
    "trim": Function((TEXT,), TEXT, lambda _, text: text.strip()),
    "hasPrefix": Function((TEXT, TEXT), BOOL, lambda _, text, part: text.startswith(part)),
    "hasSuffix": Function((TEXT, TEXT), BOOL, lambda _, text, part: text.endswith(part)),
}
