"""``acl``: written rules become answers, and are counted."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError
from k8sdns.metrics import ACL_ALLOWED, ACL_BLOCKED

COREFILE = """example.org:53 {
    acl example.org {
        block net 127.0.0.2 10.0.0.0/8 2001:db8::/32
        filter net 127.0.0.3
        drop net 127.0.0.4
        allow type A net 127.0.0.5
        block type SRV A net *
    }
    acl {
        filter type TXT
        allow
    }
    whoami
}"""


def outcome(server, client, qtype="A", **arguments):
    found = server.ask("www.example.org", qtype, client=client, **arguments)
    if found is None:
        return None
    codes = [int(error.code) for error in found.extended_errors()]
    return found.rcode(), bool(found.additional), codes


@pytest.mark.parametrize(
    ("client", "qtype", "expected"),
    [
        ("127.0.0.2", "A", (5, False, [15])),
        ("10.1.2.3", "MX", (5, False, [15])),
        ("2001:db8::9", "MX", (5, False, [15])),
        ("127.0.0.3", "A", (0, False, [17])),
        ("127.0.0.4", "A", None),
        ("127.0.0.5", "A", (0, True, [])),
        ("127.0.0.5", "SRV", (5, False, [15])),
        ("127.0.0.6", "TXT", (0, False, [17])),
        ("127.0.0.6", "MX", (0, True, [])),
    ],
)
def test_each_line_does_what_it_says(serve, client, qtype, expected):
    assert outcome(serve(COREFILE), client, qtype, use_edns=0) == expected


def test_no_opt_goes_to_who_sent_none(serve):
    assert serve(COREFILE).ask("www.example.org", client="127.0.0.2").edns == -1


def test_verdicts_are_counted_under_coredns_s_names(serve):
    server = serve(COREFILE)
    outcome(server, "127.0.0.2")
    outcome(server, "127.0.0.5")
    outcome(server, "127.0.0.6", "MX")
    assert server.metrics.counter(ACL_BLOCKED) == {("dns://:53", "example.org.", ""): 1}
    assert server.metrics.counter(ACL_ALLOWED) == {("dns://:53", ""): 2}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("deny net *", 'unexpected token "deny"; expect'),
        ("block from 192.0.2.1", "expect 'type | net'"),
        ("block type NONSENSE", "expect legal QTYPE"),
        ("block net 192.0.2.0/33", 'illegal CIDR notation "192.0.2.0/33"'),
        ("block net", 'no token specified in "net" section'),
        ("block type net *", 'no token specified in "type" section'),
    ],
)
def test_mistakes_name_their_line(checked, line, says):
    with pytest.raises(CorefileError) as caught:
        checked(f". {{\nacl {{\n{line}\n}}\n}}")
    assert caught.value.line == 3
    assert says in str(caught.value)
