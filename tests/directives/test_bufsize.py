"""``bufsize``: no reply over UDP is longer, and none is made longer."""

from __future__ import annotations

import dns.flags
import pytest

from k8sdns.errors import CorefileError

MANY = "".join(f"many A 192.0.2.{n}\n" for n in range(1, 120))


def block(stanza, path):
    return f".:5300 {{\n{stanza}\nfile {path} example.org\n}}"


@pytest.mark.parametrize(
    ("stanza", "client", "limit"),
    [
        ("bufsize", 4096, 1232),
        ("bufsize 512", 4096, 512),
        ("bufsize 1024", 700, 700),
        ("bufsize 2048", 4096, 2048),
    ],
)
def test_the_smaller_of_both_sizes_bounds_the_reply(serve, zone_file, stanza, client, limit):
    found = serve(block(stanza, zone_file(MANY))).ask(
        "many.example.org", payload=client, use_edns=0
    )
    assert len(found.to_wire()) <= limit
    assert found.payload == limit
    assert bool(found.flags & dns.flags.TC) == (limit < 2000)


def test_clients_without_edns_are_not_concerned(serve, zone_file):
    found = serve(block("bufsize 4096", zone_file(MANY))).ask("many.example.org")
    assert len(found.to_wire()) <= 512
    assert found.edns == -1


@pytest.mark.parametrize("size", ["511", "4097", "big", "1232 1232"])
def test_sizes_that_are_none_are_refused(checked, size):
    with pytest.raises(CorefileError, match=r"Corefile:2 - plugin/bufsize"):
        checked(f". {{\nbufsize {size}\n}}")
