"""Whoever installs k8sdns, as a wheel or editable, finds ``twistd k8sdns`` from anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Neither the network nor the environment's own k8sdns: what is installed is what is found.
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input"]
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation", "-q"]


def run(*command, cwd, **more):
    ended = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, timeout=300, **more
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def environment(tmp_path):
    """A new virtual environment that sees this one's libraries, but not its k8sdns."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    # A path entry of the outer environment that leads to k8sdns itself is left out: `.pth` files of
    # a folder that is on PYTHONPATH are not read.
    outer = sysconfig.get_path("purelib")
    (site / "outer.pth").write_text(outer + "\n")
    return tmp_path / "venv"


def found_plugin(environment, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    code = "from twisted.scripts.twistd import run; run()"
    python = environment / "bin" / "python"
    shown = run(python, "-c", code, "--help", cwd=empty, env=env)
    where = run(python, "-c", "import k8sdns; print(k8sdns.__file__)", cwd=empty, env=env)
    return "k8sdns" in shown, where.strip()


def test_the_wheel_holds_both_packages_and_is_found(environment, tmp_path):
    run(sys.executable, *PIP, "wheel", *OFFLINE, "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "twisted/plugins/k8sdns_plugin.py" in names
    assert "k8sdns/py.typed" in names
    assert not [n for n in names if n.endswith(("dropin.cache", ".pyc"))]
    assert "twisted/__init__.py" not in names
    assert "twisted/plugins/__init__.py" not in names
    python = environment / "bin" / "python"
    run(sys.executable, *PIP, "--python", python, "install", *OFFLINE, wheel, cwd=tmp_path)
    is_found, where = found_plugin(environment, tmp_path)
    assert is_found
    assert where.startswith(str(environment))


def test_an_editable_install_is_found(environment, tmp_path):
    python = environment / "bin" / "python"
    run(sys.executable, *PIP, "--python", python, "install", *OFFLINE, "-e", ROOT, cwd=tmp_path)
    is_found, where = found_plugin(environment, tmp_path)
    assert is_found
    assert where == str(ROOT / "k8sdns" / "__init__.py")
