"""Telling other name servers that a zone changed (RFC 1996), so that they transfer it soon.

Owns: the messages, their repetition, and when a zone counts as changed. Refuses to know where
zones come from, and who may transfer them (`transfer`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from random import SystemRandom
from typing import Any, Final, NamedTuple

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from k8sdns import names, records
from k8sdns.authorities import polling
from k8sdns.interfaces import ITransferable

Address = tuple[str, int]
Listen = Callable[[DatagramProtocol, str], Any]
"""Opens a UDP port of the system's choice for a protocol, on an address."""

TRIES: Final = 3  # CoreDNS; RFC 1996 §3.6 leaves it open
WAIT: Final = 2.0  # seconds for a reply
LOOK_EVERY: Final = 5.0  # seconds between looks at the serials
MAX_PENDING: Final = 4096  # notifications without a reply at once; further ones are not sent
_HEADER: Final = struct.Struct("!HHHHHH")
_FLAGS: Final = 0x2400  # opcode NOTIFY, AA
_REPLY: Final = 0xA000  # QR, opcode NOTIFY
_OPCODE: Final = 0xF800

log = Logger()


class _Pending(NamedTuple):
    zone: bytes
    address: Address
    tries_left: int
    timeout: Any  # IDelayedCall


class Messenger(DatagramProtocol):
    """Sends notifications of one address family, each until it is replied to or given up."""

    def __init__(self, clock: IReactorTime, draw: Callable[[int], int] | None = None) -> None:
        """`draw` returns a random number of so many bits."""
        self._clock = clock
        self._draw = draw or SystemRandom().getrandbits
        self._pending: dict[int, _Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def notify(self, zone: bytes, address: Address, tries: int = TRIES) -> None:
        """Tell the server at `address` that `zone` changed."""
        if len(self._pending) >= MAX_PENDING:
            log.warn("Too many notifications wait for replies: {zone} is not told",
                     zone=names.to_text(zone))  # fmt: skip
            return
        number = self._draw(16)
        while number in self._pending:
            number = self._draw(16)
        question = zone + struct.pack("!HH", records.SOA, records.IN)
        transport: Any = self.transport
        transport.write(_HEADER.pack(number, _FLAGS, 1, 0, 0, 0) + question, address)
        timeout = self._clock.callLater(WAIT, self._not_replied, number)
        self._pending[number] = _Pending(zone, address, tries - 1, timeout)

    def _not_replied(self, number: int) -> None:
        zone, address, tries_left, _ = self._pending.pop(number)
        if tries_left:
            self.notify(zone, address, tries_left)
        else:
            log.warn(
                'Notifying {host} about zone "{zone}" failed: no reply',
                host=address[0], zone=names.to_text(zone),
            )  # fmt: skip

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Take a reply; anything else, and anybody else's, is dropped."""
        if len(datagram) < _HEADER.size:
            return
        number, flags, *_ = _HEADER.unpack_from(datagram)
        pending = self._pending.get(number)
        if pending is None or addr[:2] != pending.address or flags & _OPCODE != _REPLY:
            return
        del self._pending[number]
        pending.timeout.cancel()
        if flags & 0xF:
            log.warn(
                'Notifying {host} about zone "{zone}" failed: {rcode}',
                host=addr[0],
                zone=names.to_text(pending.zone),
                rcode=records.rcode_name(flags & 0xF),
            )

    def give_up(self) -> None:
        """Wait for no reply any longer."""
        for pending in self._pending.values():
            pending.timeout.cancel()
        self._pending.clear()


class Notifier(Service):
    """Looks at the serials of zones and notifies their receivers when one is new."""

    def __init__(
        self,
        clock: IReactorTime,
        listen: Listen,
        receivers: Iterable[tuple[tuple[bytes, ...], tuple[Address, ...]]],
        sources: Callable[[], Sequence[ITransferable]],
        *,
        local: str = "",
    ) -> None:
        """`receivers`: zones and whom to tell; `local`: the address to send from, "" for any."""
        self._clock = clock
        self._listen = listen
        self._receivers = names.ZoneMap(
            (zone, addresses) for zones, addresses in receivers for zone in zones
        )
        self._sources = sources
        self._local = local
        self._serials: dict[bytes, int] = {}
        self._messengers: dict[bool, tuple[Messenger, Any]] = {}
        self._poll = polling.Poll(clock, LOOK_EVERY, self.look)

    def startService(self) -> None:
        """Notify everybody of the zones as they are, and of every change from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._poll.start()
        self.look()

    def stopService(self) -> None:
        """Notify nobody any longer."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._poll.stop()
        for messenger, port in self._messengers.values():
            messenger.give_up()
            port.stopListening()
        self._messengers.clear()

    def look(self) -> None:
        """Notify the receivers of every zone whose serial is not the one last seen."""
        for source in self._sources():
            for zone in source.zones():
                serial = source.zone_serial(zone)
                if serial is None or self._serials.get(zone) == serial:
                    continue
                self._serials[zone] = serial
                found = self._receivers.find(zone)
                for address in found[1] if found else ():
                    self._notify(zone, address)

    def _notify(self, zone: bytes, address: Address) -> None:
        is_ipv6 = ":" in address[0]
        if self._local and (":" in self._local) != is_ipv6:
            return  # nothing can be sent there from that address
        known = self._messengers.get(is_ipv6)
        if known is None:
            messenger = Messenger(self._clock)
            try:
                port = self._listen(messenger, self._local or ("::" if is_ipv6 else "0.0.0.0"))  # noqa: S104 - to send from
            except OSError as error:
                log.warn("Notifications cannot be sent: {error}", error=error)
                return
            known = self._messengers[is_ipv6] = (messenger, port)
        try:
            known[0].notify(zone, address)
        except OSError as error:
            log.warn("Notifying {host} failed: {error}", host=address[0], error=error)
