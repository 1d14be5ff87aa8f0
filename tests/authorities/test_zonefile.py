"""Zone files become zones; every mistake names its place; whoever wrote them, they end."""

from __future__ import annotations

import dns.name
import dns.rdataclass
import dns.zone
import pytest
from hypothesis import given, settings, strategies as st

from k8sdns import names, records
from k8sdns.authorities import zonefile
from k8sdns.authorities.zonefile import ZoneFileError, entries

ORIGIN = names.from_text("example.org")
HEAD = "@ 3600 IN SOA ns1 admin 7 7200 3600 1209600 600\n@ 3600 IN NS ns1\n"


def load(tmp_path, text, **files):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    path = tmp_path / "zone"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return zonefile.load(str(path), ORIGIN)


def owners(loaded, rtype=records.A):
    return {names.to_text(r.owner): r.ttl for r in loaded.zone if r.rtype == rtype}


def test_the_zone_that_is_read_is_the_zone_that_dnspython_reads(tmp_path):
    text = """
$TTL 1h
@         IN SOA  ns1 admin (
              2026010101 ; serial
              7200 3600 1209600 600 )
          IN NS   ns1
ns1       IN A    192.0.2.2
          AAAA    2001:db8::2
short 60  IN A    192.0.2.6
MiXed     TXT     "semi;colon (paren" "qu\\"ote" plain
$ORIGIN sub.example.org.
a         300 A   192.0.2.7
$ORIGIN example.org.
b\\.c      A 192.0.2.8
big       TYPE65280 \\# 3 010203
caa       CAA 0 issue "ca.example"
$GENERATE 1-3 h$ A 192.0.2.$
"""
    loaded = load(tmp_path, text)
    theirs = dns.zone.from_text(text, origin="example.org", relativize=False)
    expected = {
        (name.to_wire().lower(), int(rdata.rdtype), ttl, rdata.to_wire())
        for name, ttl, rdata in theirs.iterate_rdatas()
    }
    ours = {(r.owner.lower(), r.rtype, r.ttl, r.rdata) for r in loaded.zone}
    assert ours == expected
    assert loaded.warnings == ()


TOKENS = st.sampled_from(
    ["a", "www", "@", "60", "IN", "A", "192.0.2.1", "TXT", '"x y"', "(", ")", ";c", "\n", "  "]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TOKENS, max_size=30))
def test_whatever_dnspython_accepts_in_one_piece_we_accept_entry_by_entry(tmp_path_factory, tokens):
    text = HEAD + " ".join(tokens) + "\n"
    try:
        theirs = dns.zone.from_text(text, origin="example.org", relativize=False)
    except Exception:
        return
    loaded = load(tmp_path_factory.mktemp("zone"), text)
    assert {(r.owner.lower(), r.rtype, r.rdata) for r in loaded.zone} == {
        (name.to_wire().lower(), int(rdata.rdtype), rdata.to_wire())
        for name, _, rdata in theirs.iterate_rdatas()
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (HEAD + "www IN A 192.0.2.256\n", 3, "malformed"),
        (HEAD + "\n\nwww IN FOO x\n", 5, "unknown rdatatype 'FOO'"),
        (HEAD + "www IN A 192.0.2.1 junk\n", 3, "expected"),
        (HEAD + "www IN TXT (\n\n", 3, "never closed"),
        (HEAD + "x" * 64 + " A 192.0.2.1\n", 3, "63 octets"),
        ("www A 192.0.2.1\n", 1, "TTL"),
        (HEAD + "$FOO bar\n", 3, "FOO"),
        (HEAD + "$INCLUDE\n", 3, "takes a file"),
        (HEAD + "$INCLUDE nowhere\n", 3, "No such file"),
        (HEAD + "www CH TXT x\n", 3, "class"),
        ("$TTL 60\n@ NS ns1\n", None, "no SOA record for origin example.org."),
        ("", None, "no SOA record"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path, text, line, message):
    with pytest.raises(ZoneFileError) as caught:
        load(tmp_path, text)
    assert caught.value.line == line
    assert message in caught.value.message
    place = f"{tmp_path}/zone:{line}: " if line else f"{tmp_path}/zone: "
    assert str(caught.value).startswith(place)


def test_strings_are_utf8_and_nothing_else(tmp_path):
    (record,) = [r for r in load(tmp_path, HEAD + "www TXT é\n").zone if r.rtype == records.TXT]
    assert record.rdata == b"\x02\xc3\xa9"
    with pytest.raises(ZoneFileError, match="zone:3: "):
        load(tmp_path, (HEAD + "www TXT é\n").encode("latin-1"))


def test_records_outside_the_zone_are_left_out_and_named(tmp_path):
    loaded = load(tmp_path, HEAD + "ns.example.com. 60 A 192.0.2.1\nxexample.org. 60 A 192.0.2.1\n")
    assert owners(loaded) == {}
    assert loaded.warnings[0].startswith(
        f"{tmp_path}/zone:3: ns.example.com. A is outside the zone"
    )
    assert len(loaded.warnings) == 2


def test_included_files_stand_beside_the_including_one_and_keep_its_origin(tmp_path):
    loaded = load(
        tmp_path,
        "$TTL 60\n" + HEAD + "$INCLUDE parts/a\nafter A 192.0.2.1\n$INCLUDE parts/a sub ; twice\n"
        "      A 192.0.2.9\n",
        **{"parts/a": "$INCLUDE b\nx A 192.0.2.2\n$ORIGIN elsewhere.example.org.\n",
           "parts/b": "y A 192.0.2.3\n"},
    )  # fmt: skip
    assert set(owners(loaded)) == {
        "after.example.org.", "x.example.org.", "y.example.org.",
        "x.sub.example.org.", "y.sub.example.org.",
    }  # fmt: skip
    assert len(loaded.zone.nodes[names.from_text("after.example.org")].sets[records.A]) == 2
    assert [name.removeprefix(f"{tmp_path}/") for name in loaded.files] == [
        "zone", "parts/a", "parts/b", "parts/a", "parts/b",
    ]  # fmt: skip


def test_a_file_that_includes_itself_ends_in_an_error(tmp_path):
    with pytest.raises(ZoneFileError, match="nested"):
        load(tmp_path, HEAD + "$INCLUDE zone\n")


def test_a_line_that_makes_too_many_records_ends_in_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(zonefile, "MAX_RECORDS", 100)
    with pytest.raises(ZoneFileError, match="too many records"):
        load(tmp_path, HEAD + "$GENERATE 1-1000000000 h$ A 192.0.2.1\n")


def test_an_endless_entry_ends_in_an_error(monkeypatch):
    monkeypatch.setattr(zonefile, "MAX_ENTRY", 100)
    with pytest.raises(ZoneFileError, match=":1: an entry of more"):
        list(entries(["x TXT (\n"] + ["y\n"] * 1000, "f"))


def test_faults_of_the_zone_are_warnings(tmp_path):
    loaded = load(tmp_path, HEAD.splitlines()[0] + "\n")
    assert loaded.warnings == (f"{tmp_path}/zone: example.org. has no NS record",)
