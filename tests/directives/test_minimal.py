"""``minimal``: positive answers lose what was not asked for, all others keep it."""

from __future__ import annotations

import pytest

ZONE = """@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
sub NS ns.sub
ns.sub A 192.0.2.3
_x._tcp SRV 0 0 53 www
"""


@pytest.mark.parametrize(
    ("name", "qtype", "counts"),
    [
        ("www", "A", (1, 0, 0)),
        ("_x._tcp", "SRV", (1, 0, 0)),
        ("www", "TXT", (0, 1, 0)),
        ("gone", "A", (0, 1, 0)),
        ("host.sub", "A", (0, 1, 1)),
    ],
)
def test_only_positive_answers_are_cut(serve, zone_file, name, qtype, counts):
    server = serve(f". {{\nminimal\nfile {zone_file(ZONE)} example.org\n}}")
    found = server.ask(f"{name}.example.org", qtype)
    assert (len(found.answer), len(found.authority), len(found.additional)) == counts


def test_opt_and_flags_stay(serve, zone_file):
    server = serve(f". {{\nminimal\nfile {zone_file(ZONE)} example.org\n}}")
    found = server.ask("www.example.org", use_edns=0)
    assert found.edns == 0
    assert found.flags & 0x0400
