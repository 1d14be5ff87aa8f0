"""Resource records: values with rdata in wire form, and building and reading the common types.

Owns: type and class numbers, where names sit inside rdata, builders for the types that k8sdns
makes itself. Refuses to know messages and compression. A type that is not listed here is opaque
(RFC 3597): its rdata passes through as octets.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from k8sdns import names

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
HINFO: Final = 13
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
NAPTR: Final = 35
DNAME: Final = 39
OPT: Final = 41
DS: Final = 43
RRSIG: Final = 46
NSEC: Final = 47
DNSKEY: Final = 48
SVCB: Final = 64
HTTPS: Final = 65
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255

IN: Final = 1
CH: Final = 3
HS: Final = 4
CLASS_NONE: Final = 254
CLASS_ANY: Final = 255

# Mnemonics as dnspython and miekg/dns spell them; anything else is TYPE<n> (RFC 3597 §5).
TYPE_NAMES: dict[int, str] = {
    A: "A", NS: "NS", CNAME: "CNAME", SOA: "SOA", 11: "WKS", PTR: "PTR", HINFO: "HINFO",
    14: "MINFO",
    MX: "MX", TXT: "TXT", 17: "RP", 18: "AFSDB", 24: "SIG", 25: "KEY", AAAA: "AAAA", 29: "LOC",
    SRV: "SRV", NAPTR: "NAPTR", 36: "KX", 37: "CERT", DNAME: "DNAME", OPT: "OPT", 42: "APL",
    DS: "DS",
    44: "SSHFP", 45: "IPSECKEY", RRSIG: "RRSIG", NSEC: "NSEC", DNSKEY: "DNSKEY", 49: "DHCID",
    50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 59: "CDS", 60: "CDNSKEY",
    61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", SVCB: "SVCB", HTTPS: "HTTPS", 99: "SPF",
    108: "EUI48",
    109: "EUI64", 249: "TKEY", TSIG: "TSIG", IXFR: "IXFR", AXFR: "AXFR", 253: "MAILB", 254: "MAILA",
    ANY: "ANY", 256: "URI", 257: "CAA",
}  # fmt: skip
TYPES: dict[str, int] = {name: number for number, name in TYPE_NAMES.items()}
CLASS_NAMES: dict[int, str] = {IN: "IN", CH: "CH", HS: "HS", CLASS_NONE: "NONE", CLASS_ANY: "ANY"}
CLASSES: dict[str, int] = {name: number for number, name in CLASS_NAMES.items()}

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16
RCODE_NAMES: dict[int, str] = {
    NOERROR: "NOERROR", FORMERR: "FORMERR", SERVFAIL: "SERVFAIL", NXDOMAIN: "NXDOMAIN",
    NOTIMP: "NOTIMP",
    REFUSED: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET", 8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
    BADVERS: "BADVERS", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG",
    22: "BADTRUNC", 23: "BADCOOKIE",
}  # fmt: skip
RCODES: dict[str, int] = {name: number for number, name in RCODE_NAMES.items()}

# Where names stand inside rdata: octets before the first name, then how many names follow one
# another. Only these are unpacked from compressed messages (RFC 3597 §4, RFC 1035 §3.3).
NAMES_IN_RDATA: dict[int, tuple[int, int]] = {
    NS: (0, 1), CNAME: (0, 1), SOA: (0, 2), PTR: (0, 1), MX: (2, 1), SRV: (6, 1), DNAME: (0, 1),
    3: (0, 1), 4: (0, 1), 7: (0, 1), 8: (0, 1), 9: (0, 1), 14: (0, 2), 17: (0, 2), 18: (2, 1),
    21: (2, 1), 36: (2, 1), 26: (2, 2),
}  # fmt: skip
# Of those, the ones whose names may be compressed when we write them (RFC 3597 §4).
COMPRESSED: frozenset[int] = frozenset({NS, CNAME, SOA, PTR, MX, 3, 4, 7, 8, 9, 14})

_SRV_HEAD: Final = struct.Struct("!HHH")
_SOA_TAIL: Final = struct.Struct("!IIIII")


class Record(NamedTuple):
    """One resource record; names are wire form and uncompressed, also inside `rdata`."""

    owner: bytes
    rtype: int
    ttl: int  # seconds
    rdata: bytes
    rclass: int = IN


def type_name(number: int) -> str:
    """Return the mnemonic of a type, or ``TYPE<n>``."""
    return TYPE_NAMES.get(number) or f"TYPE{number}"


def type_number(name: str) -> int | None:
    """Return the number of a type given as mnemonic or ``TYPE<n>``, or None."""
    return _number(name, TYPES, "TYPE")


def class_name(number: int) -> str:
    """Return the mnemonic of a class, or ``CLASS<n>``."""
    return CLASS_NAMES.get(number) or f"CLASS{number}"


def class_number(name: str) -> int | None:
    """Return the number of a class given as mnemonic or ``CLASS<n>``, or None."""
    return _number(name, CLASSES, "CLASS")


def rcode_name(number: int) -> str:
    """Return the mnemonic of an RCODE, or ``RCODE<n>``."""
    return RCODE_NAMES.get(number) or f"RCODE{number}"


def _number(name: str, table: dict[str, int], prefix: str) -> int | None:
    known = table.get(name.upper())
    if known is not None:
        return known
    digits = name.upper().removeprefix(prefix)
    if digits != name.upper() and digits.isdecimal() and int(digits) <= 0xFFFF:
        return int(digits)
    return None


def address(owner: bytes, text: str, ttl: int) -> Record:
    """Return the A or AAAA record of an address in text; ValueError if it is none."""
    packed = ipaddress.ip_address(text).packed
    return Record(owner, A if len(packed) == 4 else AAAA, ttl, packed)


def srv(owner: bytes, weight: int, port: int, target: bytes, ttl: int, priority: int = 0) -> Record:
    """Return an SRV record (RFC 2782)."""
    return Record(owner, SRV, ttl, _SRV_HEAD.pack(priority, weight, port) + target)


def soa(
    owner: bytes, mname: bytes, rname: bytes, timers: tuple[int, int, int, int, int], ttl: int
) -> Record:
    """Return a SOA record; `timers`: serial, refresh, retry, expire, minimum (RFC 1035 §3.3.13)."""
    return Record(owner, SOA, ttl, mname + rname + _SOA_TAIL.pack(*timers))


def txt(owner: bytes, strings: tuple[bytes, ...], ttl: int, rclass: int = IN) -> Record:
    """Return a TXT record of character strings of at most 255 octets each (RFC 1035 §3.3.14)."""
    if any(len(string) > 255 for string in strings):
        raise ValueError("a character string has at most 255 octets")
    rdata = b"".join(bytes((len(string),)) + string for string in strings)
    return Record(owner, TXT, ttl, rdata, rclass)


def names_in(record: Record) -> list[bytes]:
    """Return the names inside the rdata of `record`, in order; [] for types without names."""
    place = NAMES_IN_RDATA.get(record.rtype)
    if place is None:
        return []
    at, count = place
    found = []
    for _ in range(count):
        end = end_of_name(record.rdata, at)
        found.append(record.rdata[at:end])
        at = end
    return found


def end_of_name(octets: bytes, at: int) -> int:
    """Return where the uncompressed name that begins at `at` ends."""
    while length := octets[at]:
        at += length + 1
    return at + 1


def target_of(record: Record) -> bytes:
    """Return the first name in the rdata (CNAME, NS, PTR, MX, SRV, DNAME), in lower case."""
    return names_in(record)[0].lower()


def rdata_text(record: Record) -> str:
    r"""Return rdata in presentation form; opaque types as ``\# n hex`` (RFC 3597 §5)."""
    if record.rtype in {A, AAAA}:
        return str(ipaddress.ip_address(record.rdata))
    found = names_in(record)
    if not found:
        return f"\\# {len(record.rdata)} {record.rdata.hex()}"
    head = record.rdata[: NAMES_IN_RDATA[record.rtype][0]]
    tail = record.rdata[len(head) + sum(map(len, found)) :]
    numbers = [str(n) for n in struct.unpack(f"!{len(head) // 2}H", head)]
    timers = [str(n) for n in struct.unpack(f"!{len(tail) // 4}I", tail)]
    return " ".join([*numbers, *map(names.to_text, found), *timers])
