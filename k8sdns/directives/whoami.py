"""``whoami``: tells clients who they are (CoreDNS plugin/whoami)."""

from __future__ import annotations

from dataclasses import dataclass

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.base import Authority
from k8sdns.corefile.settings import Directive
from k8sdns.records import Record
from k8sdns.server.draft import BlockDraft

_LABELS = {"udp": b"\x04_udp", "tcp": b"\x04_tcp"}


@dataclass(frozen=True)
class Settings:
    """Answers every question with the client's address and port, in the additional section."""


class WhoamiAuthority(Authority):
    """NOERROR and nothing but who asked: an address record, and the port as an SRV record."""

    word = "whoami"

    def answer(self, question: Question) -> Answer:
        """Answer any question; the owner is the name as it was asked, the class too."""
        peer = question.peer
        owner = question.qname_as_sent
        address = records.address(owner, peer.host.partition("%")[0], 0)
        port = records.srv(_LABELS[question.protocol] + owner, 0, peer.port, names.ROOT, 0)
        found = tuple(self._of_class(record, question.qclass) for record in (address, port))
        return Answer(additional=found, aa=True, source=self.word)

    @staticmethod
    def _of_class(record: Record, rclass: int) -> Record:
        return record._replace(rclass=rclass)


def install(_settings: Settings, block: BlockDraft) -> None:
    """Add the authority; it answers everything, so nothing behind it is asked."""
    block.add(WhoamiAuthority())  # type: ignore[no-untyped-call]


DIRECTIVE = Directive(
    "whoami", Settings, install=install, summary="Echo the client's address and port."
)
