"""``local``: the names of the local host stay at home."""

from __future__ import annotations

import pytest

from k8sdns.metrics import LOCAL_LOCALHOST

COREFILE = ". {\nlocal\nwhoami\n}"


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("localhost", "A", "127.0.0.1"),
        ("LocalHost", "AAAA", "::1"),
        ("localhost", "NS", "localhost."),
        ("localhost", "SOA", "localhost. root.localhost. 1 0 0 0 604800"),
        ("app.localhost", "A", "127.0.0.1"),
        ("1.0.0.127.in-addr.arpa", "PTR", "localhost."),
        ("255.in-addr.arpa", "NS", "localhost."),
        ("localhost.ns.svc.cluster.local", "AAAA", "::1"),
    ],
)
def test_local_names_are_answered(serve, name, qtype, expected):
    found = serve(COREFILE).ask(name, qtype)
    assert [(rrset.ttl, rrset[0].to_text()) for rrset in found.answer] == [(604800, expected)]
    assert found.answer[0].name == found.question[0].name
    assert found.flags & 0x0400 == 0


@pytest.mark.parametrize(
    ("name", "qtype", "rcode", "owner"),
    [
        ("localhost", "TXT", 0, "localhost."),
        ("app.localhost", "TXT", 0, "app.localhost."),
        ("0.0.127.in-addr.arpa", "PTR", 0, "127.in-addr.arpa."),
        ("2.0.0.127.in-addr.arpa", "PTR", 3, "127.in-addr.arpa."),
        ("1.0.0.127.in-addr.arpa", "A", 0, "127.in-addr.arpa."),
        ("9.0.in-addr.arpa", "PTR", 3, "0.in-addr.arpa."),
        ("localhost.example.org", "MX", 0, "localhost.example.org."),
    ],
)
def test_what_is_not_there_is_denied(serve, name, qtype, rcode, owner):
    found = serve(COREFILE).ask(name, qtype)
    assert (found.rcode(), found.answer) == (rcode, [])
    assert [rrset.name.to_text() for rrset in found.authority] == [owner]


@pytest.mark.parametrize("name", ["localhosts", "mylocalhost", "host.127.example.org"])
def test_other_names_pass(serve, name):
    assert serve(COREFILE).ask(name).additional


def test_prefixes_are_counted_and_can_be_let_through(serve):
    server = serve(COREFILE)
    server.ask("localhost.example.org")
    server.ask("localhost")
    assert server.metrics.counter(LOCAL_LOCALHOST)[()] == 1
    server = serve(". {\nlocal {\nlocalhost_prefix off\n}\nwhoami\n}")
    assert server.ask("localhost.example.org").additional
