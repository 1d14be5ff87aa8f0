"""``whoami``, ``root``, ``bind`` and ``debug``: the words of a line or two."""

from __future__ import annotations

import pytest

from k8sdns import logs
from k8sdns.errors import CorefileError


@pytest.mark.parametrize(
    ("client", "qtype", "address"), [("192.0.2.9", "A", "192.0.2.9"), ("2001:db8::7", "AAAA", None)]
)
def test_whoami_tells_address_and_port(serve, client, qtype, address):
    found = serve(". {\nwhoami\n}").ask("Some.example.org", client=client)
    host, port = found.additional
    assert (host.name.to_text(), host[0].to_text()) == ("Some.example.org.", address or client)
    assert port.name.to_text() == "_udp.Some.example.org."
    assert port[0].to_text() == "0 0 4321 ."
    assert found.answer == []


def test_paths_start_from_the_root(checked, tmp_path):
    (tmp_path / "db").write_text("")
    plan = checked(f". {{\nfile db example.org\nroot {tmp_path}\n}}")
    settings = {directive.word: each for directive, each in plan.blocks[0].directives}
    assert str(tmp_path / "db") in repr(settings["file"])
    assert plan.warnings == ()


def test_a_missing_root_is_said(checked):
    assert "does not exist: /nowhere" in checked(". {\nroot /nowhere\n}").warnings[0]


@pytest.mark.parametrize(
    ("stanza", "hosts"),
    [
        ("bind 127.0.0.1", {"127.0.0.1"}),
        ("bind 127.0.0.1 ::1\nbind 127.0.0.2", {"127.0.0.1", "::1", "127.0.0.2"}),
        ("bind 127.0.0.1 127.0.0.2 {\nexcept 127.0.0.1\n}", {"127.0.0.2"}),
    ],
)
def test_a_block_listens_where_it_is_bound(checked, stanza, hosts):
    assert set(checked(f". {{\n{stanza}\n}}").blocks[0].hosts) == hosts


def test_interfaces_stand_for_their_addresses(checked):
    assert "127.0.0.1" in checked(". {\nbind lo\n}").blocks[0].hosts


@pytest.mark.parametrize("place", ["nonsense0", "10.0.0.300"])
def test_what_is_no_place_is_refused(checked, place):
    with pytest.raises(CorefileError, match="not a valid IP address or interface name"):
        checked(f". {{\nbind {place}\n}}")


def test_debug_lines_are_written_with_debug_alone(serve):
    observer = logs.observer()
    before, observer.debug = observer.debug, False
    try:
        serve(". {\nwhoami\n}")
        assert not observer.debug
        serve(". {\ndebug\nwhoami\n}")
        assert observer.debug
    finally:
        observer.debug = before
