"""``log``: the query log's rules and formats."""

from __future__ import annotations

import json

import pytest

from k8sdns import names, records
from k8sdns.answers import RD, SILENT, Answer, Edns, Question, failed
from k8sdns.errors import CorefileError, ServerFailure
from k8sdns.server.querylog import COMBINED, COMMON, Exchange, compiled
from k8sdns.wire.writer import reply

NAME = names.from_text("example.org")
ADDRESS = records.address(NAME, "192.0.2.1", 5)


def question(**fields):
    found = Question(b"\x07Example\x03org\x00", records.A, flags=RD)
    found.message = (29008).to_bytes(2, "big") + bytes(39)
    found.address = ("10.0.0.9", 41234)
    found.edns = Edns(4096, do=False)
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def line(text, answer, *, elapsed=0.000379, size=60, **fields):
    return compiled(text)(Exchange(question(**fields), answer, elapsed, size))


def test_the_common_format_is_coredns_s():
    found = line(COMMON, Answer((ADDRESS,), ra=True))
    expected = '10.0.0.9:41234 - 29008 "A IN example.org. udp 41 false 4096" '
    assert found == expected + "NOERROR qr,rd,ra 56 0.000379s"


def test_the_combined_format_ends_in_the_opcode():
    assert line(COMBINED, Answer()) == line(COMMON, Answer()) + ' "0"'


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("{remote} {local}", {"address": ("2001:db8::1", 5)}, "[2001:db8::1] -"),
        ("{remote}", {"address": ("::ffff:192.0.2.3", 5)}, "192.0.2.3"),
        ("{local}", {"local_address": ("192.0.2.53", 53)}, "192.0.2.53"),
        ("{>bufsize}", {"edns": None}, "512"),
        ("{>bufsize}", {"edns": Edns(100, do=True)}, "512"),
        ("{>bufsize} {proto}", {"is_stream": True}, "65535 tcp"),
        ("{>do}", {"edns": Edns(512, do=True)}, "true"),
        ("{type} {class}", {"qtype": 65399, "qclass": 3}, "TYPE65399 CH"),
        ("{/kubernetes/kind}", {"metadata": {"kubernetes/kind": "svc"}}, "svc"),
        ("{/kubernetes/kind}", {}, "-"),
        ("100% {unknown} {type}", {}, "100% {unknown} A"),
        ("a {common} b", {}, None),
    ],
)
def test_placeholders(text, fields, expected):
    if expected is None:
        expected = text.replace("{common}", line(COMMON, Answer(), **fields))
    assert line(text, Answer(), **fields) == expected


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [(0.0, "0s"), (2.0, "2s"), (0.000000001, "0.000000001s"), (10.5, "10.5s"), (100.0, "100s")],
)
def test_durations_are_short_decimals(elapsed, expected):
    assert line("{duration}", Answer(), elapsed=elapsed) == expected


def test_an_error_without_a_message_has_the_size_of_the_reply():
    found = line("{rcode} {>rflags} {rsize}", failed(ServerFailure("broken")))
    assert found == "SERVFAIL qr,rd 29"


def test_silence_has_no_reply_to_tell_of():
    assert line("{rcode} {>rflags} {rsize} {duration}", SILENT, elapsed=1) == "- - - 1s"


def test_truncation_shows_in_the_flags():
    many = Answer(tuple(records.address(NAME, f"192.0.2.{n}", 5) for n in range(250)))
    asked = question()
    size = len(reply(asked, many, 1232))
    part = compiled("{>rflags}")
    assert part(Exchange(asked, many, 0, size)) == "qr,tc,rd"
    stream = question(is_stream=True)
    assert part(Exchange(stream, many, 0, len(reply(stream, many, 1232)))) == "qr,rd"


def block(stanza, zone):
    return f". {{\n{stanza}\nfile {zone} example.org\n}}"


def logged(lines):
    return [found.split('"')[1].split()[2] for found in lines if found.startswith("[INFO] 192.")]


@pytest.mark.parametrize(
    ("stanza", "names_"),
    [
        ("log", ["www", "gone", "ns", "else."]),
        ("log www.example.org", ["www"]),
        ("log example.org {\nclass denial\n}", ["gone", "ns"]),
        ("log {\nclass error\n}", ["else."]),
        ("log {\nclass error success\n}", ["www", "else."]),
        ("log www.example.org {\nclass denial\n}\nlog", ["gone", "ns", "else."]),
        ("log gone.example.org www.example.org", ["www", "gone"]),
    ],
)
def test_the_first_rule_for_a_name_decides(serve, zone_file, lines, stanza, names_):
    server = serve(block(stanza, zone_file("www A 192.0.2.1\nns TXT x\n")))
    for name in ("www.example.org", "gone.example.org", "ns.example.org", "else"):
        server.ask(name)
    expected = [name if name.endswith(".") else f"{name}.example.org." for name in names_]
    assert logged(lines) == expected


def test_the_last_of_several_words_is_a_format_if_it_looks_like_one(serve, lines):
    serve('. {\nlog . "asked {name} {rcode}"\nwhoami\n}').ask("Example.org")
    assert "[INFO] asked example.org. NOERROR" in lines


def test_json_lines_are_json(serve, lines):
    serve(". {\nlog . {json}\nwhoami\n}").ask("example.org", client="192.0.2.7")
    found = json.loads(lines[-1])
    assert found.pop("time").endswith("+00:00")
    assert found.pop("duration") > 0
    assert found.pop("id") >= 0
    assert found == {
        "remote": "192.0.2.7", "port": 4321, "type": "A", "class": "IN", "name": "example.org.",
        "proto": "udp", "size": 29, "do": False, "bufsize": 512, "rcode": "NOERROR",
        "rflags": ["qr", "aa", "rd"], "rsize": 91, "directive": "whoami",
    }  # fmt: skip


def test_names_cannot_break_a_line(serve, lines):
    serve(". {\nlog\nwhoami\n}").ask("a\\010[ERROR]\\032x.example.org")
    assert r'"A IN a\010[error]\032x.example.org. udp' in lines[-1]


@pytest.mark.parametrize(
    ("stanza", "says"),
    [
        ("log {\nclass most\n}", "invalid Class: most"),
        ("log {\nclass\n}", "Wrong argument count"),
        ("log {\nkind all\n}", "unknown property 'kind'"),
        ("log a..b", "empty label"),
    ],
)
def test_mistakes_are_refused(checked, stanza, says):
    with pytest.raises(CorefileError, match=says):
        checked(f". {{\n{stanza}\n}}")


def test_a_lone_format_is_taken_for_a_name_and_that_is_said(checked):
    assert "write log . {common}" in checked(". {\nlog {common}\n}").warnings[0]
