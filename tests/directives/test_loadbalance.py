"""``loadbalance``: policies as they are written."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError

POOL = "pool A 192.0.2.1\npool A 192.0.2.2\npool A 192.0.2.3\n"


def firsts(serve, stanza, zone, times=60):
    server = serve(f". {{\n{stanza}\nfile {zone} example.org\n}}")
    found = [server.ask("pool.example.org").answer[0] for _ in range(times)]
    assert all(len(rrset) == 3 for rrset in found)
    return {rrset[0].to_text() for rrset in found}


@pytest.mark.parametrize("stanza", ["loadbalance", "loadbalance round_robin"])
def test_each_address_comes_first(serve, zone_file, stanza):
    assert len(firsts(serve, stanza, zone_file(POOL))) == 3


def test_without_it_the_order_stays(serve, zone_file):
    assert len(firsts(serve, "", zone_file(POOL))) == 1


def test_weights_come_from_the_file(serve, zone_file, tmp_path):
    (tmp_path / "weights").write_text("pool.example.org\n192.0.2.3 255\n")
    stanza = f"root {tmp_path}\nloadbalance weighted weights {{\nreload 10s\n}}"
    assert "192.0.2.3" in firsts(serve, stanza, zone_file(POOL))


def test_preferred_networks_lead(serve, zone_file):
    stanza = "loadbalance {\nprefer 192.0.2.2/32 10.0.0.0/8\n}"
    assert firsts(serve, stanza, zone_file(POOL)) == {"192.0.2.2"}


@pytest.mark.parametrize(
    ("stanza", "says"),
    [
        ("loadbalance random", "unknown policy: random"),
        ("loadbalance weighted", "missing weight file argument"),
        ("loadbalance round_robin weights", "unexpected argument(s)"),
        ("loadbalance {\nreload 5s\n}", "reload is for the file of weighted"),
        ("loadbalance {\nprefer 10.0.0.0/99\n}", "invalid CIDR '10.0.0.0/99'"),
        ("loadbalance weighted /nowhere/weights {\nreload 0\n}", "Failed to open weight file"),
    ],
)
def test_mistakes_are_refused(checked, stanza, says):
    with pytest.raises(CorefileError) as caught:
        checked(f". {{\n{stanza}\n}}")
    assert says in str(caught.value)


def test_a_bad_weight_file_is_refused_and_a_missing_one_is_said(checked, tmp_path):
    (tmp_path / "weights").write_text("192.0.2.1 5\n")
    with pytest.raises(CorefileError, match="weights:1 - an address needs a name"):
        checked(f". {{\nloadbalance weighted {tmp_path}/weights\n}}")
    found = checked(f". {{\nloadbalance weighted {tmp_path}/none\n}}")
    assert "Failed to open weight file" in found.warnings[0]
