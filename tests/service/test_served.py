"""The first page's promises: the example cluster is served, to any client, over UDP and TCP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COREFILE = f"""
.:@PORT@ {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {ROOT}/examples/cluster
    }}
    loadbalance
}}
"""
SHOP = "shop.bakery.svc.cluster.local"


@pytest.mark.parametrize("tcp", [False, True])
def test_the_first_question_of_the_readme(twistd, tcp):
    server = twistd(COREFILE)
    (answer,) = server.ask(SHOP, tcp=tcp).answer
    assert answer[0].address.startswith("10.")
    assert server.ask("nothing.bakery.svc.cluster.local", tcp=tcp).rcode() == 3


@pytest.mark.parametrize("tool", ["dig", "kdig"])
def test_independent_clients_understand_us(twistd, needs, tool):
    server = twistd(COREFILE)
    command = [needs(tool), "@127.0.0.1", "-p", str(server.port), "+short", "-t", "SRV"]
    name = f"_http._tcp.{SHOP}"
    shown = subprocess.run([*command, name], capture_output=True, text=True, timeout=30).stdout
    assert shown.split()[2:] == ["80", f"{SHOP}."]


def test_an_unknown_word_is_one_line_with_the_nearest_known(twistd):
    server = twistd(".:@PORT@ {\n    kubernets cluster.local\n}\n", wait=False)
    assert server.wait() == 1
    (line,) = server.output.splitlines()
    assert ":2 - " in line
    assert "'kubernets' (did you mean 'kubernetes'?)" in line


def test_the_examples_are_valid(start):
    program = str(Path(sys.executable).with_name("k8sdns"))
    checked = start([program, "-check", "-conf", "examples/Corefile"], cwd=ROOT)
    assert checked.wait() == 0, checked.output
