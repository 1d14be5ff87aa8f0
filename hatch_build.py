"""Wheels: pure Python, or with the hot modules compiled where K8SDNS_COMPILE=1 asks for it."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled modules to a wheel, and says for which Python and machine it is."""

    def dependencies(self) -> list[str]:
        return ["mypy>=1.13", "mypy-zope>=1.0.9", "setuptools>=77", *_OURS] if _is_asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_asked() or version == "editable":
            return
        self._made = tempfile.TemporaryDirectory()
        target = Path(self._made.name)
        compiling = runpy.run_path(str(Path(self.root, "native", "compile.py")))
        for path in compiling["compile_into"](target):
            build_data["force_include"][str(target / path)] = str(path)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if hasattr(self, "_made"):
            self._made.cleanup()


# mypyc reads the types of what the modules import.
_OURS = ["twisted[tls]>=26.4", "zope.interface>=6.0", "prometheus-client>=0.20", "msgspec>=0.19"]


def _is_asked() -> bool:
    return os.environ.get("K8SDNS_COMPILE") == "1"
