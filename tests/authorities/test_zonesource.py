"""A zone file is read again when it changed; a broken one leaves the last good zone."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from k8sdns import names
from k8sdns.authorities import polling
from k8sdns.authorities.zonefile import ZoneFileError
from k8sdns.authorities.zonesource import ZoneFile

ORIGIN = names.from_text("example.org")


def text(serial, *lines):
    soa = f"@ 60 SOA ns1 admin {serial} 7200 3600 1209600 600\n@ 60 NS ns1\n"
    return soa + "".join(f"{line}\n" for line in lines)


@pytest.fixture
def logged():
    lines = []

    def see(event):
        lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(see)
    yield lines
    globalLogPublisher.removeObserver(see)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "zone"
    path.write_text(text(1))
    return path


def started(path, clock, **arguments):
    source = ZoneFile(ORIGIN, str(path), clock, **arguments)
    source.load()
    source.startService()
    return source


def test_a_new_serial_is_served_after_the_next_look(path, clock, logged):
    changes = []
    source = started(path, clock, changed=lambda zone: changes.append(zone.serial))
    path.write_text(text(2, "a 60 A 192.0.2.1"))
    clock.advance(59)
    assert source.zone.serial == 1
    clock.advance(1)
    assert source.zone.serial == 2
    assert changes == [1, 2]
    assert logged[-1].startswith('Successfully reloaded zone "example.org." in ')
    assert logged[-1].endswith("with 2 SOA serial")


def test_an_unchanged_file_is_not_read_again(path, clock):
    source = started(path, clock)
    first = source.answers
    clock.pump([60] * 5)
    assert source.answers is first


@pytest.mark.parametrize(("by_mtime", "size"), [(False, 2), (True, 3)])
def test_without_a_new_serial_only_reload_by_mtime_takes_the_file(
    path, clock, logged, by_mtime, size
):
    source = started(path, clock, by_mtime=by_mtime)
    path.write_text(text(1, "a 60 A 192.0.2.1"))
    clock.pump([60, 60])
    assert source.zone.size == size
    assert sum("SOA serial is still 1" in line for line in logged) == (not by_mtime)


def test_a_broken_file_leaves_the_last_good_zone_and_is_logged_once(path, clock, logged):
    source = started(path, clock)
    path.write_text(text(2, "a 60 A nonsense"))
    clock.pump([60, 60, 60])
    assert source.zone.serial == 1
    (line,) = [line for line in logged if "zone:3: " in line]
    assert line.endswith("the zone as it was stays in use")
    path.write_text(text(1))
    clock.advance(60)
    assert source.trouble == ""
    path.unlink()
    clock.advance(60)
    assert source.zone.serial == 1
    assert "No such file" in source.trouble


def test_a_file_that_comes_later_is_picked_up(path, clock):
    path.unlink()
    source = ZoneFile(ORIGIN, str(path), clock)
    with pytest.raises(FileNotFoundError):
        source.load()
    source.startService()
    assert source.zone is None
    path.write_text(text(3))
    clock.advance(60)
    assert source.zone.serial == 3


def test_a_mistake_at_the_start_is_an_error(path, clock):
    path.write_text("nonsense here\n")
    with pytest.raises(ZoneFileError, match=":1: "):
        ZoneFile(ORIGIN, str(path), clock).load()


def test_a_change_of_an_included_file_counts(path, clock, tmp_path):
    (tmp_path / "soa").write_text(text(1))
    path.write_text("$INCLUDE soa\n")
    source = started(path, clock)
    (tmp_path / "soa").write_text(text(9))
    clock.advance(60)
    assert source.zone.serial == 9


def test_a_large_file_is_read_in_slices_and_the_start_waits_for_it(path, clock, monkeypatch):
    monkeypatch.setattr(polling, "LARGE", 100)
    path.write_text(text(4, *(f"h{n} 60 A 192.0.2.1" for n in range(100))))
    source = ZoneFile(ORIGIN, str(path), clock)
    source.load()
    begun = []
    source.startService().addCallback(begun.append)
    assert (source.zone, begun) == (None, [])
    clock.pump([0] * 20)
    assert source.zone.serial == 4
    assert begun == [None]


def test_stopping_ends_polling_and_reading(path, clock, monkeypatch):
    monkeypatch.setattr(polling, "LARGE", 100)
    path.write_text(text(4, *(f"h{n} 60 A 192.0.2.1" for n in range(100))))
    source = started(path, clock)
    source.stopService()
    clock.pump([0] * 20)
    assert clock.getDelayedCalls() == []
    assert source.zone is None


def test_no_reload_means_no_polling(path, clock):
    started(path, clock, reload_after=0)
    assert clock.getDelayedCalls() == []
