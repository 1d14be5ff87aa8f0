"""The shared Corefile texts, judged as ``--check`` and ``--dump`` judge them.

K8SDNS_CONFORMANCE names the folder of the data. A case that does not hold must be one of the
differences below, which docs/differences-from-coredns.md explains.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from k8sdns import assemble, names
from k8sdns.cluster.selectors import parse_selector
from k8sdns.corefile.source import read_corefile
from k8sdns.errors import ConfigurationError, CorefileError

FOLDER = os.environ.get("K8SDNS_CONFORMANCE")
# Accepted by CoreDNS, refused here; a piece of the line that says so.
REFUSED_ON_PURPOSE = {
    "cfk-055": "'multicluster' is not supported: k8sdns serves one cluster's own Services",
}
PORT = 53


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


@pytest.fixture
def corefile(case, tmp_path, monkeypatch):
    """The case's text, as the command line reads it in its folder."""
    monkeypatch.chdir(tmp_path)
    write(case, tmp_path)
    return read_corefile("Corefile", PORT)


@pytest.mark.parametrize("case", cases())
def test_text_is_judged_as_coredns_judges_it(case, corefile, tmp_path):
    environ = case.get("env", {})
    if "blocks" in case:
        dumped = json.loads(assemble.dump(corefile, environ=environ))
        assert dumped == placed(case["blocks"], str(tmp_path))
    if case.get("level") == "structure":  # what CoreDNS reads, but could not serve
        return
    try:
        plan = assemble.check(corefile, default_port=PORT, environ=environ)
    except ConfigurationError as error:
        judge_refusal(case, error)
    else:
        assert case["accept"]
        assert case["id"] not in REFUSED_ON_PURPOSE
        judge_values(case.get("values", {}), plan)


def judge_refusal(case, error):
    """One line; the place is the one that the case names."""
    assert not case["accept"] or REFUSED_ON_PURPOSE[case["id"]] in str(error)
    assert "\n" not in str(error)
    if "line" in case:
        assert isinstance(error, CorefileError)
        assert (Path(error.file).name, error.line) == (case.get("file", "Corefile"), case["line"])
        assert str(error).startswith(f"{error.file}:{error.line} - ")


def judge_values(values, plan):
    """Compare what some options come to, by the names of our settings."""
    others = [found for word, found in plan.blocks[0].directives if word.word != "whoami"]
    settings = others[0] if others else None
    served = [str(address) for block in plan.blocks for address in block.addresses]
    for name, wanted in values.items():
        match name:
            case "zones_count":
                assert len(served) == wanted
            case "zones_include":
                assert set(wanted) <= set(served)
            case "zones" if settings is None:
                assert served == wanted
            case "zones" | "fallthrough":
                found = getattr(settings, name) or ()
                assert [names.to_text(zone) for zone in found] == wanted
            case "success" | "denial":
                shelf = getattr(settings.caching, name)
                assert [shelf.capacity, shelf.max_ttl, shelf.min_ttl] == wanted
            case "labels" | "namespace_labels":
                terms = parse_selector(getattr(settings, name)).requirements
                assert set(terms) == set(parse_selector(wanted).requirements)
            case "bufsize":
                assert settings.size == wanted
            case _:
                found = getattr(settings, name)
                assert (list(found) if isinstance(found, tuple) else found) == wanted
