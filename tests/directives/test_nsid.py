"""``nsid``: an identifier for those who ask for one, and for nobody else."""

from __future__ import annotations

import socket

import dns.edns
import pytest

from k8sdns.errors import CorefileError

ASKED = [dns.edns.GenericOption(3, b"")]


def identifier(stanza, serve, **arguments):
    found = serve(f". {{\n{stanza}\nwhoami\n}}").ask("example.org", **arguments)
    return [option.to_wire() for option in found.options]


def test_those_who_ask_are_told(serve):
    assert identifier("nsid server one", serve, use_edns=0, options=ASKED) == [b"server one"]


def test_the_host_name_stands_for_it(serve):
    found = identifier("nsid", serve, use_edns=0, options=ASKED)
    assert found == [socket.gethostname().encode()]


@pytest.mark.parametrize("arguments", [{}, {"use_edns": 0}])
def test_others_are_not(serve, arguments):
    assert identifier("nsid x", serve, **arguments) == []


def test_an_identifier_is_short(checked):
    with pytest.raises(CorefileError, match="at most 512"):
        checked(f". {{\nnsid {'x' * 600}\n}}")
