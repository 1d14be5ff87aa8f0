"""Records from text: dnspython's zone-file reader, fed one entry at a time, as our `Record` values.

Owns: how dnspython is driven, and which of its exceptions mean bad text. Refuses to know files,
`$INCLUDE` and zones.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.zonefile

from k8sdns import names, records
from k8sdns.errors import K8sDNSError
from k8sdns.records import Record

DEFAULT_TTL: Final = 3600  # seconds; of a single record whose text states none (miekg/dns)
_MAX_TTL: Final = 0x7FFFFFFF  # RFC 2181 §8
_BAD_TEXT = (dns.exception.DNSException, ValueError)
# What dnspython puts in front of its messages: a place that we know better, and its own classes.
_PREFIX = re.compile(r"^[^\s:]*:\d+: (caught exception <class '[\w.]+'>: )?")


class BadRecordText(K8sDNSError):
    """Text that dnspython cannot read as a record; the message says what is wrong with it."""


class _Collector:
    """The part of a dnspython transaction that its zone-file reader uses: records fall in here."""

    def __init__(self, most: int) -> None:
        self.manager = self
        self.collected: list[Record] = []
        self._left = most

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        # The root lets every owner in: dnspython drops foreign ones without a word.
        return dns.name.root, False, dns.name.root

    def check_put_rdataset(self, check: Any) -> None:
        """Leave the check of CNAMEs to the zone."""

    def _set_origin(self, origin: Any) -> None:
        """The reader keeps its `$ORIGIN` itself."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        if not self._left:
            raise BadRecordText("too many records")
        self._left -= 1
        if ttl > _MAX_TTL:
            raise BadRecordText(f"a TTL is at most {_MAX_TTL} seconds")
        # An owner without its final dot and origin cannot happen: the reader completes it.
        owner = cast("bytes", name.to_wire())
        octets = cast("bytes", rdata.to_wire())
        self.collected.append(Record(owner, int(rdata.rdtype), ttl, octets, int(rdata.rdclass)))


class EntryReader:
    """Reads the entries of one zone file (RFC 1035 §5.1): owner, origin and TTL pass on."""

    def __init__(
        self, origin: bytes, *, rclass: int = records.IN, ttl: int | None = None, most: int = 1
    ) -> None:
        """`most`: records in all; `ttl`: in seconds where none is stated, None to refuse those."""
        self._collector = _Collector(most)
        self._reader: Any = dns.zonefile.Reader(
            dns.tokenizer.Tokenizer(""),
            dns.rdataclass.RdataClass.make(rclass),
            cast("Any", self._collector),
            default_ttl=ttl,
        )
        self.origin = origin

    @property
    def origin(self) -> bytes:
        """What relative names are relative to; setting it also sets the last owner."""
        return cast("bytes", self._reader.current_origin.to_wire())

    @origin.setter
    def origin(self, origin: bytes) -> None:
        self._reader.current_origin = dns.name.from_wire(origin, 0)[0]
        self._reader.last_name = self._reader.current_origin

    def state(self) -> tuple[Any, Any]:
        """Return what `$INCLUDE` must restore: origin and last owner (RFC 1035 §5.1)."""
        return self._reader.current_origin, self._reader.last_name

    def restore(self, state: tuple[Any, Any]) -> None:
        """Go back to a `state`."""
        self._reader.current_origin, self._reader.last_name = state

    def read(self, entry: str) -> list[Record]:
        """Return the records of one entry: none for a directive, many for `$GENERATE`.

        Raises `BadRecordText`.
        """
        self._reader.tok = dns.tokenizer.Tokenizer(entry, "")
        self._collector.collected = []
        try:
            self._reader.read()
        except _BAD_TEXT as error:
            raise BadRecordText(_PREFIX.sub("", str(error)) or type(error).__name__) from None
        return self._collector.collected


def record_from_text(text: str, *, rclass: int = records.IN, ttl: int = DEFAULT_TTL) -> Record:
    """Return the one record that `text` states; names without a final dot end in the root.

    Raises `BadRecordText` for anything but exactly one record, directives included.
    """
    if text.lstrip().startswith("$"):
        raise BadRecordText("a directive is no record")
    found = EntryReader(names.ROOT, rclass=rclass, ttl=ttl).read(text)
    if len(found) != 1:
        raise BadRecordText("no record" if not found else "more than one record")
    return found[0]
