"""Zone transfers: who may, what is sent, how it is cut into messages."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from zope.interface import implementer

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities import transfer
from k8sdns.authorities.rrtext import record_from_text
from k8sdns.authorities.transfer import (
    MESSAGE_OCTETS,
    Receivers,
    TransferAuthority,
    is_current,
    messages,
)
from k8sdns.errors import Refused, ServerFailure
from k8sdns.interfaces import ITransferable
from k8sdns.records import Record

ZONE = names.from_text("example.org")


def soa(serial):
    return record_from_text(f"example.org. 60 SOA ns. admin. {serial} 7200 3600 1209600 600")


@implementer(ITransferable)
class Source:
    """One zone with `size` records between its SOAs."""

    def __init__(self, zone=ZONE, size=3, serial=7):
        self.zone, self.size, self.serial = zone, size, serial

    def zones(self):
        return (self.zone,)

    def zone_serial(self, zone):
        return self.serial if zone == self.zone else None

    def zone_records(self, zone):
        yield soa(self.serial)
        for n in range(self.size):
            owner = names.from_labels((b"h%d" % n,), zone)
            yield Record(owner, records.TXT, 60, b"\xc8" + bytes(200))
        yield soa(self.serial)


def authority(*sources, **receivers):
    receivers.setdefault("anybody", True)
    return TransferAuthority([Receivers((ZONE,), **receivers)], lambda: sources)


def ask(made, qtype=records.AXFR, *, zone="example.org", host="192.0.2.1", serial=None, tcp=True):
    question = Question(names.from_text(zone), qtype)
    question.is_stream = tcp
    question.address = (host, 40000)
    if serial is not None:
        question.authority_records = (soa(serial),)
    return made.answer(question)


def types(section):
    return [records.type_name(record.rtype) for record in section]


def test_a_small_zone_goes_into_one_message_between_its_soas():
    answer = ask(authority(Source()))
    assert types(answer.answer) == ["SOA", "TXT", "TXT", "TXT", "SOA"]
    assert (answer.aa, answer.rcode, list(answer.further)) == (True, records.NOERROR, [])


def test_a_large_zone_goes_into_several_and_survives_what_stages_change():
    answer = ask(authority(Source(size=1000))).replace(ra=True)
    assert answer.ra
    parts = [answer.answer, *(further.answer for further in answer.further)]
    assert len(parts) > 1
    whole = [record for part in parts for record in part]
    assert whole == list(Source(size=1000).zone_records(ZONE))


@given(st.lists(st.integers(0, 65535), max_size=20))
def test_messages_hold_every_record_in_order_and_are_bounded(sizes):
    whole = [Record(ZONE, 65280, n, bytes(size)) for n, size in enumerate(sizes)]
    parts = list(messages(whole))
    assert [record for part in parts for record in part] == whole
    for part in parts:
        octets = sum(len(r.owner) + 10 + len(r.rdata) for r in part)
        assert octets <= MESSAGE_OCTETS or len(part) == 1


@pytest.mark.parametrize(
    ("receivers", "host", "may"),
    [
        ({"anybody": True}, "203.0.113.9", True),
        ({"anybody": False, "hosts": frozenset({"192.0.2.1"})}, "192.0.2.1", True),
        ({"anybody": False, "hosts": frozenset({"192.0.2.1"})}, "192.0.2.2", False),
        ({"anybody": False, "hosts": frozenset({"2001:db8::1"})}, "2001:db8::1", True),
        ({"anybody": False, "hosts": frozenset({"192.0.2.1"})}, "::ffff:192.0.2.1", True),
        ({"anybody": False}, "127.0.0.1", False),
    ],
)
def test_only_receivers_may(receivers, host, may):
    made = authority(Source(), **receivers)
    if may:
        assert ask(made, host=host).answer
    else:
        with pytest.raises(Refused, match=host):
            ask(made, host=host)


def test_datagrams_are_refused():
    with pytest.raises(Refused, match="TCP"):
        ask(authority(Source()), tcp=False)


def test_other_questions_and_zones_go_on():
    made = authority(Source())
    assert ask(made, records.A) is None
    assert ask(made, zone="example.com") is None
    assert ask(made, zone="sub.example.org") is None  # in a receiver's zone, but no zone itself
    assert ask(authority()) is None
    assert ask(authority(Source(size=0, zone=names.from_text("x.org")), Source())) is not None


@pytest.mark.parametrize(("serial", "expected"), [(7, 1), (8, 1), (6, 5), (2**32 - 1, 5)])
def test_ixfr_is_the_soa_for_those_who_are_current_and_the_zone_for_others(serial, expected):
    assert len(ask(authority(Source()), records.IXFR, serial=serial).answer) == expected


def test_ixfr_without_a_soa_fails():
    with pytest.raises(ServerFailure):
        ask(authority(Source()), records.IXFR)


def test_serials_wrap_around():
    assert is_current(1, 2**32 - 1)
    assert not is_current(2**32 - 1, 1)


def test_transfers_at_once_are_bounded_and_finished_ones_make_room(monkeypatch):
    monkeypatch.setattr(transfer, "MAX_UNDERWAY", 2)
    made = authority(Source())
    held = [ask(made), ask(made)]
    with pytest.raises(Refused, match="too many"):
        ask(made)
    held.pop()
    assert ask(made).answer
