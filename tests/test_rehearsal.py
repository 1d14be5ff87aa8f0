"""``--check``: what a start would refuse is found without one, with the place in the Corefile."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOA = "@ IN SOA a b 1 2 3 4 5\n"
FILES = {
    "good.zone": f"{SOA}@ NS a\n",
    "bad.zone": f"{SOA}x A 192.0.2.300\n",
    "large.zone": SOA + "".join(f"n{n} A 192.0.2.1\n" for n in range(15_000)) + "x A 192.0.2.300\n",
    "folder/db.example.org": f"{SOA}x A 192.0.2.300\n",
    "bad.pem": "nonsense\n",
    "empty.conf": "search example.org\n",
    "kubeconfig": "nonsense: [",
}


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """`check(block)` runs ``--check``; returns status and output, without the folder's name."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(block: str, key: str = ".:1053") -> tuple[int, str]:
        (tmp_path / "Corefile").write_text(f"{key} {{\n{block}\n}}\n")
        program = [str(Path(sys.executable).parent / "k8sdns"), "-check", "-conf", "Corefile"]
        environment = {"PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            program,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.replace(f"{tmp_path}/", "")

    return run


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("whoami\nfile bad.zone example.org", "Corefile:3 - plugin/file: bad.zone:2: "),
        ("file none.zone example.org {\nreload 0\n}", "Corefile:2 - plugin/file: none.zone cannot"),
        ("tls bad.pem bad.pem", "Corefile:2 - plugin/tls: bad.pem holds no certificate"),
        ("tls none.pem none.pem", "Corefile:2 - plugin/tls: cannot read none.pem"),
        (
            "forward . tls://192.0.2.1 {\ntls bad.pem\n}",
            "Corefile:3 - plugin/forward: bad.pem holds no PEM",
        ),
        ("forward . empty.conf", "Corefile:2 - plugin/forward: no valid upstream addresses"),
        ("proxy . none.conf", "Corefile:2 - plugin/proxy: not an IP address or file: 'none.conf'"),
        ("autopath none.conf\nwhoami", 'Corefile:2 - plugin/autopath: failed to parse "none.conf"'),
        ("kubernetes {\nmanifests none\n}", "Corefile:3 - plugin/kubernetes: there is no file"),
        ("kubernetes {\nkubeconfig none\n}", "Corefile:2 - no kubeconfig file none"),
        ("kubernetes {\nkubeconfig kubeconfig\n}", "Corefile:2 - "),
    ],
)
def test_what_a_start_would_refuse_is_refused(check: Any, block: str, says: str) -> None:
    key = "tls://.:1053" if block.startswith("tls ") else ".:1053"
    status, output = check(block, key)
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith(says)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("file good.zone example.org\nwhoami\nforward . dns.example", ""),
        ("file none.zone example.org", "[WARNING] plugin/file: none.zone cannot be read"),
        ("file large.zone example.org", "[WARNING] plugin/file: large.zone:15002: "),
        ("auto {\ndirectory folder\n}", "[WARNING] plugin/auto: folder/db.example.org:2: "),
        ("auto {\ndirectory none\n}", "[WARNING] plugin/auto: none cannot be read"),
        ("hosts none", "[WARNING] plugin/hosts: File does not exist: none"),
        (
            "kubernetes\nmultisocket 2\nreload",
            "[WARNING] plugin/kubernetes: not inside a Kubernetes",
        ),
    ],
)
def test_what_a_start_would_complain_of_is_told_once(check: Any, block: str, says: str) -> None:
    status, output = check(block)
    assert status == 0, output
    *told, last = output.splitlines()
    assert last == "Corefile: OK"
    assert len(told) == (1 if says else 0), output
    assert "".join(told).startswith(says)


def test_nothing_is_bound(check: Any, free_port: Any) -> None:
    """A port that is taken is no mistake of the Corefile; a snapshot's folder stays empty."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        status, output = check(
            f"bind 127.0.0.1\nwhoami\nhealth 127.0.0.1:{port}\nprometheus 127.0.0.1:{port}",
            f".:{port}",
        )
    assert (status, output) == (0, "Corefile: OK\n")
