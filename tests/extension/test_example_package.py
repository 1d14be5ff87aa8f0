"""The worked example of a foreign word: it installs, it serves, and its page shows what it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "k8sdns-blocklist"
PAGE = ROOT / "docs" / "howto" / "write-a-directive.md"
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COREFILE = """.:@PORT@ {
    bind 127.0.0.1
    blocklist blocked.txt {
        reload 100ms
    }
    whoami
}
"""
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "-q"]


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment into which the example was installed."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    fresh = folder / "venv" / "bin" / "python"
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    # The libraries of this environment, and the k8sdns of this checkout.
    (site / "outer.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run(*pip, "wheel", *OFFLINE, "-w", folder, EXAMPLE, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "--python", fresh, "install", *OFFLINE, wheel, cwd=folder)
    return fresh


def test_the_word_is_known_once_the_package_is_installed(python: Path, tmp_path: Path) -> None:
    code = "from k8sdns import assemble; print(*assemble.words())"
    assert "blocklist" in run(python, "-c", code, cwd=tmp_path).split()


def test_its_own_tests_pass_where_it_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    test = tmp_path / "test_blocklist.py"
    test.write_text((EXAMPLE / "test_blocklist.py").read_text())
    ended = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", test, cwd=tmp_path)
    assert "10 passed" in ended


def test_its_corefile_is_right(python: Path) -> None:
    code = "from twisted.scripts.twistd import run; run()"
    run(python, "-c", code, "-n", "--pidfile=", "k8sdns", "--check", cwd=EXAMPLE)


def test_a_server_serves_it(
    python: Path, start: Callable[..., Any], free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "blocked.txt").write_text("ads.example\n")
    (tmp_path / "Corefile").write_text(COREFILE.replace("@PORT@", str(port)))
    code = "from twisted.scripts.twistd import run; run()"
    server = start([str(python), "-c", code, "-n", "--pidfile=", "k8sdns"], cwd=tmp_path)
    server.port = port
    server.wait_until_it_answers()
    blocked = dns.message.make_query("www.ads.example", "A", use_edns=0)
    reply = dns.query.udp(blocked, "127.0.0.1", port=port, timeout=5)
    assert reply.rcode() == 3
    assert [option.code for option in reply.options] == [15]
    assert server.ask("www.example").rcode() == 0
    (tmp_path / "blocked.txt").write_text("www.example\n")
    server.wait_until(lambda: server.ask("www.example").rcode() == 3, "the new list")


def blocks(name: str) -> list[str]:
    found = [text for file, text in BLOCK.findall(PAGE.read_text()) if file == name]
    assert found, f"the page shows nothing of {name}"
    return found


@pytest.mark.parametrize("name", ["pyproject.toml", "k8sdns_blocklist.py", "test_blocklist.py"])
def test_the_page_shows_the_files_as_they_are(name: str) -> None:
    text = (EXAMPLE / name).read_text()
    for block in blocks(name):
        assert block in text, f"{name} does not hold\n{block}"


@pytest.mark.parametrize("name", ["pyproject.toml", "k8sdns_blocklist.py"])
def test_the_page_leaves_nothing_out(name: str) -> None:
    lines = (EXAMPLE / name).read_text().splitlines()
    shown = "".join(blocks(name)).splitlines()
    assert [line for line in shown if line] == [line for line in lines if line]
