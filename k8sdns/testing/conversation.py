"""Scripted conversations: a client, a Corefile, and upstreams that say what the script says.

Owns the language of the scripts: each `_do_` method is a word of it. Time stands still but for
the script's own steps, and nothing leaves the process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
from twisted.internet.defer import Deferred

from k8sdns import directives, plan
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.corefile.source import CorefileText
from k8sdns.metrics import Metrics
from k8sdns.testing.building import started
from k8sdns.testing.network import FakeNetwork, FakeReactor, Sent

CLIENT = ("198.51.100.7", 4321)


class Mismatch(AssertionError):
    """The conversation went another way than the script says."""


class Conversation:
    """One server of a Corefile's text, ``@DIR@`` in it standing for `folder`.

    `hosts` are the addresses of host names, as the system knows them.
    """

    def __init__(
        self, corefile: str, folder: Path, hosts: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._folder = folder
        self.reactor = FakeReactor()
        self.network = FakeNetwork(self.reactor)
        self.network.hosts = {name: list(found) for name, found in (hosts or {}).items()}
        self.metrics = Metrics()
        self._asked: dict[str, _Client] = {}
        self._kept: dict[str, Sent] = {}
        self._last: Sent | None = None
        self.halted: list[str] = []
        text = corefile.replace("@DIR@", str(folder))
        planned = plan.plan(
            CorefileText(text, "Corefile", None),
            directives.discovered(),
            default_port=53,
            environ={},
        )
        generation = started(
            planned,
            self.network,
            self.metrics,
            Randomness(_random_octets()),
            self.halted.append,
        )
        self.server = next(iter(generation.servers.values()))[0]

    def play(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Do every step; raises `Mismatch` with the number of the step that did not fit."""
        for number, step in enumerate(steps, 1):
            ((word, value),) = step.items()
            try:
                getattr(self, f"_do_{word}")(value)
            except Mismatch as mismatch:
                raise Mismatch(f"step {number} ({word}: {value}): {mismatch}") from None

    def _do_ask(self, text: str) -> None:
        """``NAME TYPE [+do] [+cd] [+ad] [+tcp] [+nord] [+plain] [+chaos] [as=LABEL]``."""
        name, rtype, *rest = text.split()
        label = next((word[3:] for word in rest if word.startswith("as=")), "")
        query = dns.message.make_query(
            name, rtype, "CH" if "+chaos" in rest else "IN", use_edns=False
        )
        if "+plain" not in rest:
            query.use_edns(0, dns.flags.DO if "+do" in rest else 0, 1232)
        for word, flag in (("+cd", dns.flags.CD), ("+ad", dns.flags.AD)):
            query.flags |= flag if word in rest else 0
        if "+nord" in rest:
            query.flags &= ~dns.flags.RD
        self._asked[label] = _Client(query, self._respond(query, is_stream="+tcp" in rest))

    def _respond(self, query: dns.message.Message, *, is_stream: bool) -> Any:
        respond = self.server.respond_to_stream if is_stream else self.server.respond
        return respond(query.to_wire(), CLIENT, ("192.0.2.253", 53))

    def _do_query(self, text: str) -> None:
        """``udp|tcp|tls ADDRESS[:PORT] NAME TYPE [+do] [+cd] [+ad] [+nord] [+plain]``."""
        if not self.network.sent:
            raise Mismatch("no upstream was asked")
        sent = self._last = self.network.sent.popleft()
        over, to, name, rtype, *flags = text.split()
        found = dns.message.from_wire(sent.message)
        question = found.question[0]
        expected = [over, to, name, rtype, *sorted(flags)]
        ours = str(sent.to) if ":" in to else sent.to.host
        actual = [
            sent.over, ours, str(question.name), dns.rdatatype.to_text(question.rdtype),
            *sorted(_flag_words(found)),
        ]  # fmt: skip
        if actual != expected:
            raise Mismatch(f"upstream was asked {' '.join(actual)}")

    def _do_upstreams(self, expected: Sequence[str]) -> None:
        """The addresses that the queries nobody looked at yet were sent to, in any order."""
        actual = sorted(sent.to.host for sent in self.network.sent)
        self.network.sent.clear()
        if actual != sorted(expected):
            raise Mismatch(f"these were asked: {actual}")

    def _do_probe(self, text: str) -> None:
        """``ADDRESS ZONE``: one of `loop`'s questions, a random name under the zone."""
        self.reactor.advance(0)
        if not self.network.sent:
            raise Mismatch("no upstream was asked")
        sent = self._last = self.network.sent.popleft()
        question = dns.message.from_wire(sent.message).question[0]
        zone = question.name.split(len(question.name) - 2)[1]
        actual = f"{sent.to.host} {zone} {dns.rdatatype.to_text(question.rdtype)}"
        if actual != f"{text} HINFO":
            raise Mismatch(f"upstream was asked {actual}: {question}")

    def _do_goes_round(self, _value: object) -> None:
        """What the upstream was asked last, it asks us."""
        self.server.respond(self._sent().message, ("192.0.2.1", 5353), ("192.0.2.253", 53))

    def _do_halted(self, text: str) -> None:
        """The process was told to end, and the message has these words; "" for not."""
        told = " ".join(self.halted)
        if bool(told) != bool(text) or text not in told:
            raise Mismatch(f"halted by {told!r}")

    def _do_quiet(self, _value: object) -> None:
        if self.network.sent:
            sent = self.network.sent[0]
            text = dns.message.from_wire(sent.message).question[0].to_text()
            raise Mismatch(f"upstream {sent.to} was asked over {sent.over}: {text}")

    def _do_reply(self, what: Mapping[str, Any] | None) -> None:
        sent = self._sent()
        sent.source.deliver(reply_to(sent.message, what or {}))

    def _sent(self) -> Sent:
        if self._last is None:
            raise Mismatch("no `query` before this step")
        return self._last

    def _do_noise(self, count: int) -> None:
        """Datagrams with ids that nobody used, on the socket of the last query."""
        sent = self._sent()
        ours = int.from_bytes(sent.message[:2], "big")
        for number in range(1, count + 1):
            forged = (ours + number) % 65536
            reply = reply_to(sent.message, {"answer": ["www.example.com. 300 A 203.0.113.66"]})
            sent.source.deliver(forged.to_bytes(2, "big") + reply[2:])

    def _do_icmp(self, _value: object) -> None:
        self._sent().source.deliver(ConnectionRefusedError(111, "Connection refused"))

    def _do_hangup(self, _value: object) -> None:
        self._sent().source.hang_up()

    def _do_keep(self, label: str) -> None:
        """Remember the last query under a label."""
        self._kept[label] = self._sent()

    def _do_recall(self, label: str) -> None:
        """Let what follows be about an earlier query."""
        self._last = self._kept[label]

    def _do_streams(self, count: int) -> None:
        if len(self.network.streams) != count:
            raise Mismatch(f"{len(self.network.streams)} connections are open")

    def _do_file(self, what: Mapping[str, str]) -> None:
        """``{NAME: TEXT}``: somebody replaces a file, as configuration is replaced."""
        for name, text in what.items():
            fresh = self._folder / f"{name}.new"
            fresh.write_text(text)
            fresh.replace(self._folder / name)

    def _do_network(self, what: Mapping[str, Sequence[str]]) -> None:
        """``{unreachable|refusing|hanging: [ADDRESS…]}``."""
        for name, addresses in what.items():
            setattr(self.network, name, set(addresses))

    def _do_pages(self, statuses: Mapping[str, int]) -> None:
        """``{ADDRESS: STATUS}``: what hosts show over HTTP from now on; 200 without one."""
        self.network.pages = dict(statuses)

    def _do_pages_asked(self, expected: Sequence[str]) -> None:
        """The URLs that were asked for since this was last looked at, in any order."""
        actual, self.network.pages_asked = sorted(self.network.pages_asked), []
        if actual != sorted(expected):
            raise Mismatch(f"these pages were asked for: {actual}")

    def _do_wait(self, seconds: float) -> None:
        # In small steps, so that timers set by timers fire when they would.
        whole, rest = divmod(round(seconds * 1000), 100)
        self.reactor.pump([0.1] * whole + [rest / 1000])

    def _do_told(self, what: str | Mapping[str, Any]) -> None:
        """``nothing``, an RCODE, or what is to be checked of the reply."""
        expected: Mapping[str, Any] = {"rcode": what} if isinstance(what, str) else what
        client = self._asked.get(expected.get("as", ""))
        if client is None:
            raise Mismatch("nobody asked")
        if expected.get("rcode") == "nothing":
            if client.reply is not None:
                raise Mismatch(f"the client was told\n{client.reply}")
            return
        if client.reply is None:
            raise Mismatch("the client was told nothing")
        client.check(expected)

    def _do_count(self, expected: Mapping[str, float]) -> None:
        """``{METRIC: VALUE}``; the values of all label sets together."""
        self.metrics.refresh()
        totals = {
            metric.name: sum(counts.values()) for metric, counts in self.metrics.counts.items()
        }
        for metric, histogram in self.metrics.histograms.items():
            totals[metric.name] = sum(map(sum, histogram.counts.values()))
        for name, value in expected.items():
            if totals.get(name, 0) != value:
                raise Mismatch(f"{name} is {totals.get(name, 0)}")


class _Client:
    """One client and what it was told."""

    def __init__(self, query: dns.message.Message, result: Any) -> None:
        self._query = query
        self.reply: dns.message.Message | None = None
        if isinstance(result, Deferred):
            result.addCallback(self._told)
        else:
            self._told(result)

    def _told(self, octets: bytes | None) -> None:
        if octets is not None:
            self.reply = dns.message.from_wire(octets)

    def check(self, expected: Mapping[str, Any]) -> None:
        reply = self.reply
        assert reply is not None  # noqa: S101 - the caller looked
        if not self._query.is_response(reply):
            raise Mismatch(f"no reply to the client's question:\n{reply}")
        for name, value in expected.items():
            if name != "as":
                actual = _CHECKS[name](reply)
                wanted = sorted(map(_normal, value)) if isinstance(value, list) else value
                if actual != wanted:
                    raise Mismatch(f"{name} is {actual!r}, not {wanted!r}:\n{reply}")


def _normal(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _records(section: list[dns.rrset.RRset]) -> list[str]:
    lines = [line for rrset in section for line in rrset.to_text().splitlines()]
    return sorted(line.replace(" IN ", " ") for line in lines)


def _flag(flag: int) -> Callable[[dns.message.Message], bool]:
    return lambda reply: bool(reply.flags & flag)


def _ede(reply: dns.message.Message) -> list[int]:
    return sorted(int(o.code) for o in reply.options if isinstance(o, dns.edns.EDEOption))


_CHECKS: dict[str, Callable[[dns.message.Message], Any]] = {
    "rcode": lambda reply: dns.rcode.to_text(reply.rcode()),
    "answer": lambda reply: _records(reply.answer),
    "authority": lambda reply: _records(reply.authority),
    "additional": lambda reply: _records(reply.additional),
    "aa": _flag(dns.flags.AA),
    "tc": _flag(dns.flags.TC),
    "ra": _flag(dns.flags.RA),
    "ad": _flag(dns.flags.AD),
    "cd": _flag(dns.flags.CD),
    "do": lambda reply: bool(reply.ednsflags & dns.flags.DO),
    "edns": lambda reply: reply.edns >= 0,
    "ede": _ede,
}


def _flag_words(query: dns.message.Message) -> list[str]:
    found = [
        word for word, flag in (("+cd", dns.flags.CD), ("+ad", dns.flags.AD)) if query.flags & flag
    ]
    if not query.flags & dns.flags.RD:
        found.append("+nord")
    if query.edns < 0:
        return [*found, "+plain"]
    return [*found, "+do"] if query.ednsflags & dns.flags.DO else found


def reply_to(message: bytes, what: Mapping[str, Any]) -> bytes:
    """Return an upstream's reply to a query as a script describes it.

    ``rcode``, ``flags`` (words, RA alone without), sections as lists of records in text; ``opt:
    no`` leaves EDNS out; ``ede`` is a list of codes. Faults: ``question`` another (name, type),
    ``id: wrong``, ``qr: no``, ``cut`` that many octets off the end, ``raw`` hex instead of it all,
    ``header`` only.
    """
    query = dns.message.from_wire(message)
    reply = dns.message.make_response(query)
    reply.flags |= sum(dns.flags.from_text(word) for word in what.get("flags", ["RA"]))
    reply.set_rcode(dns.rcode.from_text(what.get("rcode", "NOERROR")))
    _fill(reply, what)
    if not what.get("opt", True):
        reply.use_edns(False)
    elif what.get("ede"):
        reply.use_edns(0, options=[dns.edns.EDEOption(code) for code in what["ede"]])
    if "question" in what:
        name, rtype = what["question"].split()
        reply.question = [
            dns.rrset.RRset(
                dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(rtype)
            )
        ]
    octets = reply.to_wire(max_size=65535)
    if what.get("id") == "wrong":
        octets = bytes((octets[0] ^ 0xFF,)) + octets[1:]
    if not what.get("qr", True):
        octets = octets[:2] + bytes((octets[2] & 0x7F,)) + octets[3:]
    if what.get("header"):
        octets = octets[:4] + bytes(8)
    if "raw" in what:
        octets = octets[:2] + bytes.fromhex(what["raw"])
    return octets[: len(octets) - what.get("cut", 0)]


def _fill(reply: dns.message.Message, what: Mapping[str, Any]) -> None:
    for name in ("answer", "authority", "additional"):
        for line in what.get(name, ()):
            owner, ttl, rtype, rdata = line.split(None, 3)
            found = dns.rrset.from_text(owner, int(ttl), "IN", rtype, rdata)
            getattr(reply, name).append(found)


def _random_octets() -> Callable[[int], bytes]:
    generator = random.Random(7)
    return generator.randbytes
