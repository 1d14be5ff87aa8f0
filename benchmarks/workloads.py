"""What is asked, and how: one row a workload."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import names
from servers import Server

FAILURES = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")


class Workload(NamedTuple):
    """One kind of load. `lines` makes its questions, anew for every round."""

    name: str
    lines: Callable[[], Iterable[str]]
    mode: str = "udp"  # udp, tcp, dot, or retry: UDP, and TCP after truncation
    clients: int = 200
    is_outside: bool = False  # asks for names that the upstream knows
    rates: tuple[int, ...] = ()  # queries a second at which it is measured besides flat out

    def suits(self, server: Server) -> bool:
        """Tell whether a server can be asked so at all."""
        if server.name == "bare loop":
            return self.mode == "udp"
        if server.name in ("bare relay", "unbound forwarding"):
            return self.is_outside
        if self.mode == "dot":
            return server.tls_port is not None
        if self.is_outside:
            return server.asks_upstream or server.name == "unbound"
        # dnsmasq makes a process for each connection, at most 20, whose time is not its own.
        return self.mode == "udp" or server.name != "dnsmasq"


RATES = (500, 2_000, 10_000)
_crowd = partial(partial, names.crowd)

ALL = (
    Workload("mix", names.mix, rates=RATES),
    Workload("unique", names.unique, rates=RATES),
    Workload("headless-3", _crowd(3)),
    Workload("headless-20", _crowd(20)),
    Workload("headless-100", _crowd(100), mode="retry"),
    Workload("cached", names.cached, is_outside=True),
    Workload("uncached", names.uncached, is_outside=True, rates=RATES),
    Workload("uncached-listed", names.listed, is_outside=True),
    Workload("tcp-20", names.mix, mode="tcp", clients=20),
    Workload("tcp-2000", names.mix, mode="tcp", clients=2_000),
    Workload("dot", names.mix, mode="dot", clients=20),
)

CHANGES_ON, CHANGES_OFF = signal.SIGUSR1, signal.SIGUSR2


def chosen(words: Iterable[str]) -> list[Workload]:
    """Return the workloads of these names, all for none; raises SystemExit for unknown ones."""
    wanted = [word for each in words for word in each.split(",") if word]
    known = {each.name: each for each in ALL}
    for word in wanted:
        if word not in known:
            raise SystemExit(f"no workload is called {word!r}: {', '.join(known)}")
    return [known[word] for word in wanted] or list(ALL)
