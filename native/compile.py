"""Compile the hot modules: those of modules.txt by mypyc, the C here by the C compiler.

    python native/compile.py DIRECTORY     copy the project there, compiled: try it, test it
    K8SDNS_COMPILE=1 pip wheel .           a wheel of it (hatch_build.py asks for it)

Python takes a compiled module before the `.py` beside it, so nothing chooses between the two.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent
PARTS = (
    "k8sdns", "twisted", "tests", "examples", "benchmarks", "deploy", "docs", "native", ".ci",
    "k8sdns.tac", "pyproject.toml", "Makefile", "hatch_build.py", "README.md", "LICENSE",
)  # fmt: skip
BY_HAND = {
    "k8sdns.server._datagrams": "native/datagrams.c",
    "k8sdns.authorities.upstream._connected": "native/connected.c",
}


def modules() -> list[str]:
    """Return the files that mypyc compiles, relative to the project."""
    lines = (HERE / "modules.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def compile_into(target: Path) -> list[Path]:
    """Compile the project's modules into `target`; return the files made, relative to it.

    Runs in the project's directory, because mypyc names modules by their paths.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - only who compiles has it
    from setuptools import Distribution, Extension  # noqa: PLC0415

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        made = mypycify([*modules()], opt_level="3", target_dir=str(target / "c"))
        by_hand = [Extension(name, [source]) for name, source in BY_HAND.items()]
        built = Distribution({"name": "k8sdns", "ext_modules": [*made, *by_hand]})
        command = built.get_command_obj("build_ext")
        command.build_lib = str(target)
        command.build_temp = str(target / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    shutil.rmtree(target / "temp", ignore_errors=True)
    shutil.rmtree(target / "c", ignore_errors=True)
    return sorted(path.relative_to(target) for path in target.rglob("*.so"))


def copy_compiled(target: Path) -> None:
    """Copy the project into `target`, and compile it there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target / part)
    for path in compile_into(target):
        print(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    copy_compiled(Path(sys.argv[1]).resolve())
