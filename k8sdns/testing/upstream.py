"""An upstream name server that says what the test gave it.

Owns what is said for which question. Refuses to know transports: `k8sdns.testing.network` is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dns.message
import dns.rdatatype

from k8sdns.testing.conversation import reply_to
from k8sdns.testing.network import FakeNetwork


class Upstream:
    """Knows `records`, lines ``OWNER TTL TYPE RDATA``; every other name does not exist.

    `asked` is what it was asked: ``(over, name, type)``. One that `is_silent` answers nothing.
    Override `says` for anything else.
    """

    def __init__(self, *records: str, is_silent: bool = False) -> None:
        self._records = [record.split(None, 3) for record in records]
        self.is_silent = is_silent
        self.asked: list[tuple[str, str, str]] = []

    def says(self, name: str, rtype: str) -> Mapping[str, Any] | None:
        """Describe the reply as `k8sdns.testing.conversation.reply_to` takes it; None: silence."""
        if self.is_silent:
            return None
        owned = [record for record in self._records if record[0].lower() == name.lower()]
        found = [" ".join(record) for record in owned if record[2] in {rtype, "CNAME"}]
        return {"answer": found} if owned else {"rcode": "NXDOMAIN"}

    def reply(self, over: str, message: bytes) -> bytes | None:
        """Return the octets of the reply, None for silence."""
        question = dns.message.from_wire(message).question[0]
        name, rtype = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((over, name, rtype))
        said = self.says(name, rtype)
        return None if said is None else reply_to(message, said)


def let_answer(network: FakeNetwork, upstreams: Mapping[str, Upstream]) -> None:
    """Let each upstream answer what it was sent, and what that led to, until all is quiet."""
    while network.sent:
        sent = network.sent.popleft()
        upstream = upstreams.get(sent.to.host)
        reply = None if upstream is None else upstream.reply(sent.over, sent.message)
        if reply is not None:
            sent.source.deliver(reply)
