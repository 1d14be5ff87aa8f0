"""Whether our questions come back to us: every upstream is asked for a name that nobody else knows.

Owns the probe and what is said about a loop. CoreDNS asks itself and waits for the third sighting
of the name (plugin/loop). Here each upstream gets a name of its own, directly: a single sighting
is proof, and shows which upstream it is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import partial
from random import SystemRandom
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.errors import Refused
from k8sdns.interfaces import IRepeatable

log = Logger(namespace="k8sdns.authorities.loop")

RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 30.0
_TROUBLE = "https://coredns.io/plugins/loop#troubleshooting"
_STUB_ADDRESSES = frozenset({"127.0.0.53", "127.0.0.54"})


class Probe(NamedTuple):
    """One upstream that is being looked at, and the name that it alone was asked for."""

    upstreams: Any  # provides IUpstreams
    upstream: str
    qname: bytes
    found: Found  # called should the name come back, with the probe and the way it came


Found = Callable[[Probe, str], None]


class LoopProbes(Service):
    """Asks every upstream at the start, until it replied or half a minute is over.

    So it does with all upstreams of an authority where these have changed. `found` is told of a
    loop that was there at the start, `found_later` of one that came by a change.
    """

    def __init__(
        self,
        zone: bytes,
        clock: IReactorTime,
        found: Found,
        found_later: Found,
        random: SystemRandom | None = None,
    ) -> None:
        self.zone = zone
        self.probes: dict[bytes, Probe] = {}  # those under way, by their name
        self._clock = clock
        self._found = found
        self._found_later = found_later
        self._random = random or SystemRandom()
        self._calls: set[IDelayedCall] = set()
        self._ends_at = 0.0
        self._watched: list[Any] = []
        self._unwatch: list[Callable[[], None]] = []

    def add(self, upstreams: Any) -> None:
        """Look at the servers of one authority; it provides IUpstreams."""
        self._watched.append(upstreams)

    def _prepare(self, upstreams: Any, found: Found) -> list[Probe]:
        zone = upstreams.zone if names.is_subdomain(upstreams.zone, self.zone) else self.zone
        made = []
        for upstream in upstreams.upstreams():
            labels = [str(self._random.getrandbits(62)).encode() for _ in range(2)]
            qname = names.from_labels(labels, zone)
            made.append(Probe(upstreams, upstream, qname, found))
        self.probes.update({probe.qname: probe for probe in made})
        return made

    def startService(self) -> None:
        """Ask them all."""
        super().startService()  # type: ignore[no-untyped-call]
        self._unwatch = [each.watch(partial(self._changed, each)) for each in self._watched]
        # Not before now: host names are looked up at the start.
        for each in self._watched:
            self._prepare(each, self._found)
        self._ask_all(list(self.probes.values()))

    def _changed(self, upstreams: Any) -> None:
        self.probes = {
            qname: probe for qname, probe in self.probes.items() if probe.upstreams is not upstreams
        }
        self._ask_all(self._prepare(upstreams, self._found_later))

    def _ask_all(self, probes: Sequence[Probe]) -> None:
        self._ends_at = self._clock.seconds() + GIVE_UP_SECONDS
        for probe in probes:
            self._later(0, probe)

    def stopService(self) -> None:
        """Ask no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        self.probes.clear()
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch.clear()
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()

    def _later(self, seconds: float, probe: Probe) -> None:
        self._calls = {call for call in self._calls if call.active()}
        self._calls.add(self._clock.callLater(seconds, self._ask, probe))

    def _ask(self, probe: Probe) -> None:
        if probe.qname not in self.probes:
            return
        if self._clock.seconds() >= self._ends_at:
            self.probes.pop(probe.qname, None)
            return
        asked = probe.upstreams.reach(probe.upstream, probe.qname, records.HINFO)
        asked.addCallback(self._asked, probe)

    def _asked(self, is_reached: bool, probe: Probe) -> None:
        if is_reached:
            # One that came back is no longer here: whoever loops hears from us first.
            if self.probes.pop(probe.qname, None) is not None:
                probe.upstreams.take_back(probe.upstream)
        elif self.running and probe.qname in self.probes:
            self._later(RETRY_SECONDS, probe)

    def seen(self, question: Question) -> bool:
        """Tell whether a question is one of ours that came back; then say so, once."""
        probe = self.probes.pop(question.qname, None)
        if probe is None:
            return False
        probe.found(probe, f"{_place(question.peer)} -> {_place(question.local)}")
        return True


def _place(peer: Any) -> str:
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"{host}:{peer.port}"


@implementer(IRepeatable)
class LoopGuard(Authority):
    """Recognises our own probes; answers nothing else."""

    word = "loop"
    repeats_as = ""

    def __init__(self, probes: LoopProbes) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._probes = probes

    def look_at(self, upstreams: Any) -> None:
        """Have the servers of an authority probed; it provides IUpstreams."""
        self._probes.add(upstreams)

    def never_answers(self, question: Question) -> bool:
        """Pass on for ever what is no probe."""
        return question.qtype != records.HINFO

    def never_answers_below(self, question: Question, _parent: bytes) -> bool:
        """The same: probes are told by their type."""
        return self.never_answers(question)

    def answer(self, question: Question) -> Answer | None:
        """Return None; a probe that came back is refused, so that it goes round no further."""
        if question.qtype == records.HINFO and self._probes.probes and self._probes.seen(question):
            raise Refused("a loop was detected")
        return None


def complaint(probe: Probe, way: str, zone: bytes) -> str:
    """Return what to say of a loop: CoreDNS's sentence, the culprit, and what to do."""
    return (
        f'Loop ({way}) detected for zone "{names.to_text(zone)}", see {_TROUBLE}. '
        f'Query: "HINFO {names.to_text(probe.qname)}". '
        f"Upstream {probe.upstream} sends our questions back to us: {remedy(probe.upstream)}"
    )


def remedy(upstream: str) -> str:
    """Return the likely reason and the cure, by the upstream's address."""
    host = upstream.rpartition(":")[0].strip("[]").partition("%")[0]
    if host in _STUB_ADDRESSES:
        return (
            f"{host} is the stub of systemd-resolved, which asks whom it was told to, us; "
            "forward to /run/systemd/resolve/resolv.conf instead, or give the kubelet that file "
            "as resolvConf"
        )
    if ipaddress.ip_address(host).is_loopback:
        return (
            "the address is this host itself; name the real upstreams in `forward`, or in the "
            "resolv.conf that it reads"
        )
    return "that server forwards to this one; take it out of `forward`, or this one out of its own"


def warn_only(zone: bytes) -> Found:
    """Return what takes a looping upstream out of use and goes on."""

    def found(probe: Probe, way: str) -> None:
        probe.upstreams.leave_out(probe.upstream)
        log.error("{what}. It is asked no more.", what=complaint(probe, way, zone))

    return found


def halting(zone: bytes, halt: Callable[[str], None]) -> Found:
    """Return what ends the process, as CoreDNS does."""

    def found(probe: Probe, way: str) -> None:
        halt(f"plugin/loop: {complaint(probe, way, zone)}")

    return found


def upstreams_behind(authorities: Sequence[Any], interface: Any) -> list[Any]:
    """Return what provides `interface` among authorities or behind their caches."""
    bare = [getattr(each, "remote", each) for each in authorities]
    return [each for each in bare if interface.providedBy(each)]
