"""EDNS options that rules put into the questions for upstreams, or take out (RFC 6891 §6.1.2).

Owns the options of the ``edns0`` rules: local ones with constant or per-query data, NSID
(RFC 5001), client subnet (RFC 7871). The client's own OPT record ends at this server; what is set
here goes to upstreams in ours.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from k8sdns import names
from k8sdns.answers import Edns, Question
from k8sdns.wire.edns import DEFAULT_PAYLOAD

NSID = 3
CLIENT_SUBNET = 8

Octets: TypeAlias = "Callable[[Question], bytes | None]"
"""The octets of an option for one question; None: there are none, so nothing is done."""


class OptionChange(NamedTuple):
    """One option: set it, append it where it is missing, replace it where it is there, unset it."""

    action: str
    code: int
    octets: Octets

    def applied(self, question: Question) -> Question | None:
        """Return the question with the option changed, None where there is nothing to do."""
        edns = question.edns or Edns(DEFAULT_PAYLOAD, do=False)
        options = (*edns.options, *question.upstream_options)
        is_there = any(code == self.code for code, _octets in options)
        if (self.action == "append" and is_there) or (
            self.action in {"replace", "unset"} and not is_there
        ):
            return None
        changed = question.changed()
        changed.edns = edns._replace(options=_without(edns.options, self.code))
        changed.upstream_options = _without(question.upstream_options, self.code)
        if self.action != "unset":
            octets = self.octets(question)
            if octets is None:
                return None
            changed.upstream_options += ((self.code, octets),)
        return changed


def _without(options: tuple[tuple[int, bytes], ...], code: int) -> tuple[tuple[int, bytes], ...]:
    return tuple(option for option in options if option[0] != code)


def constant(text: str) -> Octets:
    """Return the octets that ``0x…`` stands for, else the text itself; raises ValueError."""
    if text[:2] in {"0x", "0X"}:
        try:
            octets = bytes.fromhex(text[2:])
        except ValueError:
            raise ValueError(f"'{text}' is no hexadecimal number of whole octets") from None
    else:
        octets = text.encode("utf-8")
    return lambda _question: octets


def variable(name: str) -> Octets:
    """Return the octets of a variable: ``client_ip``, ``meta/label``; raises ValueError."""
    known = _VARIABLES.get(name)
    if known is not None:
        return known
    directive, slash, label = name.partition("/")
    if not (directive and slash and label):
        raise ValueError(
            f"unsupported variable name '{name}': write one of {', '.join(_VARIABLES)}, "
            "or a label of `metadata`"
        )
    return lambda question: ((question.metadata or {}).get(name) or "").encode("utf-8") or None


def _address(text: str) -> bytes | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).packed
    except ValueError:
        return None  # the address that was asked is not known of a wildcard socket


def _number(value: int) -> bytes:
    return value.to_bytes(2, "big")


_VARIABLES: dict[str, Octets] = {
    "qname": lambda question: names.to_text(question.qname).encode("ascii"),
    "qtype": lambda question: _number(question.qtype),
    "client_ip": lambda question: _address(question.peer.host),
    "client_port": lambda question: _number(question.peer.port),
    "protocol": lambda question: question.protocol.encode("ascii"),
    "server_ip": lambda question: _address(question.local.host),
    "server_port": lambda question: _number(question.local.port),
}


def subnet(v4_bits: int, v6_bits: int) -> Octets:
    """Return a client subnet option of so many bits of the client's address (RFC 7871 §6)."""

    def octets(question: Question) -> bytes | None:
        packed = _address(question.peer.host)
        if packed is None:
            return None
        family, bits = (1, v4_bits) if len(packed) == 4 else (2, v6_bits)
        network = ipaddress.ip_network((packed, bits), strict=False)
        kept = network.network_address.packed[: (bits + 7) // 8]
        return struct.pack("!HBB", family, bits, 0) + kept

    return octets
