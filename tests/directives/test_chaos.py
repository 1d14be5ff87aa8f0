"""``chaos``: what the server says about itself, in class CH alone."""

from __future__ import annotations

import socket

import pytest

import k8sdns

COREFILE = '. {\nchaos one-2 "First Author" "Second Author"\nwhoami\n}'


def texts(server, name):
    found = server.ask(name, "TXT", "CH")
    return [(r.ttl, str(r.rdclass), record.to_text()) for r in found.answer for record in r]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("version.bind", "one-2"),
        ("VERSION.server", "one-2"),
        ("hostname.bind", socket.gethostname()),
        ("id.server", socket.gethostname()),
    ],
)
def test_names_of_the_server(serve, name, expected):
    assert [found[2] for found in texts(serve(COREFILE), name)] == [f'"{expected}"']


def test_authors_are_a_record_each(serve):
    found = {text for _ttl, _class, text in texts(serve(COREFILE), "authors.bind")}
    assert found == {'"First Author"', '"Second Author"'}


def test_records_are_of_the_class_and_live_no_longer(serve):
    found = serve(COREFILE).ask("version.bind", "TXT", "CH")
    assert (found.answer[0].ttl, found.answer[0].rdclass) == (0, 3)
    assert found.flags & 0x0400 == 0


@pytest.mark.parametrize(
    ("name", "qtype", "qclass"),
    [("other.bind", "TXT", "CH"), ("version.bind", "A", "CH"), ("version.bind", "TXT", "IN")],
)
def test_other_questions_pass(serve, name, qtype, qclass):
    found = serve(". {\nchaos\n}").ask(name, qtype, qclass)
    assert (found.rcode(), found.answer) == (2, [])


def test_long_texts_are_cut_at_what_a_string_holds(serve):
    (found,) = texts(serve(f". {{\nchaos {'x' * 300}\n}}"), "version.bind")
    assert len(found[2]) == 257


def test_the_version_is_ours_without_another(serve):
    assert k8sdns.__version__ in texts(serve(". {\nchaos\n}"), "version.bind")[0][2]
