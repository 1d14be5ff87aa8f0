"""The shared Corefile texts, as far as reading goes; K8SDNS_CONFORMANCE names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from k8sdns.corefile.dump import dumped
from k8sdns.corefile.order import ORDER
from k8sdns.corefile.parser import load
from k8sdns.corefile.zones import key_addresses
from k8sdns.errors import CorefileError

FOLDER = os.environ.get("K8SDNS_CONFORMANCE")


def cases():
    if FOLDER is None:
        reason = "K8SDNS_CONFORMANCE is not set: no conformance data at hand"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="none")]
    found = []
    for path in sorted(Path(FOLDER, "corefile").glob("*.yaml")):
        found += [pytest.param(c, id=c["id"]) for c in yaml.safe_load(path.read_text())["cases"]]
    return found


def placed(value, folder):
    if isinstance(value, str):
        return value.replace("@DIR@", folder)
    if isinstance(value, list):
        return [placed(part, folder) for part in value]
    if isinstance(value, dict):
        return {name: placed(part, folder) for name, part in value.items()}
    return value


def write(case, folder):
    for name in case.get("dirs", []):
        (folder / name).mkdir(parents=True)
    for name, text in {**case.get("files", {}), "Corefile": case["text"]}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(placed(text, str(folder)).encode())
    return str(folder / "Corefile")


@pytest.mark.parametrize("case", cases())
def test_text_is_read_as_coredns_reads_it(case, tmp_path):
    path = write(case, tmp_path)
    if case.get("stage") == "syntax":
        with pytest.raises(CorefileError) as caught:
            load(path, case.get("env", {}), ORDER)
        assert caught.value.line == case.get("line", caught.value.line)
        assert Path(caught.value.file).name == case.get("file", "Corefile")
        return
    found = load(path, case.get("env", {}), ORDER)
    if "blocks" in case:
        assert dumped(found) == placed(case["blocks"], str(tmp_path))
    if case.get("level") in {"server", "options"} and case["accept"]:
        zones = [str(a) for block in found.blocks for key in block.keys for a in key_addresses(key)]
        values = case.get("values") or {}
        if case["level"] == "server":
            assert zones == values.get("zones", zones)
            assert len(zones) == values.get("zones_count", len(zones))
            assert set(values.get("zones_include", [])) <= set(zones)
