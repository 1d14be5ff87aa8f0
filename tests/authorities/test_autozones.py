"""auto: files of a folder are zones, as they come and go."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.autozones import AutoZones
from k8sdns.authorities.zoneauthority import ZoneAuthority
from k8sdns.corefile.goregex import GoRegex

TEXT = "@ 60 SOA ns admin 7 7200 3600 1209600 600\n@ 60 NS ns\na 60 A 192.0.2.1\n"


@pytest.fixture
def clock():
    return Clock()


def started(folder, clock, **options):
    authority = ZoneAuthority("auto")
    service = AutoZones(authority, str(folder), clock, **options)
    service.startService()
    return authority, service


def zones(authority):
    return sorted(names.to_text(zone) for zone in authority.zones())


def test_files_become_the_zones_of_their_names(tmp_path, clock):
    (tmp_path / "db.example.org").write_text(TEXT)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "db.example.com").write_text(TEXT)
    (tmp_path / "sub" / "db.example.org").write_text("the upper one counts")
    (tmp_path / "readme").write_text("no zone")
    (tmp_path / "db.").write_text(TEXT)
    authority, service = started(tmp_path, clock)
    assert zones(authority) == ["example.com.", "example.org."]
    answer = authority.answer(Question(names.from_text("a.example.org"), records.A))
    assert (answer.rcode, len(answer.answer), answer.source) == (0, 1, "auto")
    service.stopService()
    assert clock.getDelayedCalls() == []


def test_files_come_and_go(tmp_path, clock):
    (tmp_path / "db.example.org").write_text(TEXT)
    authority, _ = started(tmp_path, clock)
    (tmp_path / "db.example.org").unlink()
    (tmp_path / "db.example.com").write_text(TEXT)
    clock.advance(60)
    assert zones(authority) == ["example.com."]
    (tmp_path / "db.example.com").write_text(TEXT.replace(" 7 ", " 8 "))
    clock.advance(60)
    assert authority.zone_serial(names.from_text("example.com")) == 8


def test_pattern_and_origin_choose_and_zones_bound(tmp_path, clock):
    for name in ("org.example.zone", "net.example.zone"):
        (tmp_path / name).write_text(TEXT)
    authority, _ = started(
        tmp_path,
        clock,
        pattern=GoRegex(r"(\w+)\.(\w+)\.zone"),
        origin="${2}.{1}",
        zones=(names.from_text("org"),),
    )
    assert zones(authority) == ["example.org."]


def test_a_folder_that_is_not_there_has_no_zones_yet(tmp_path, clock):
    authority, _ = started(tmp_path / "later", clock)
    assert zones(authority) == []
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "db.example.org").write_text(TEXT)
    clock.advance(60)
    assert zones(authority) == ["example.org."]


def test_without_reload_the_folder_is_looked_through_once(tmp_path, clock):
    started(tmp_path, clock, reload_after=0)
    assert clock.getDelayedCalls() == []
