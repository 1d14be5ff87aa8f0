"""The scripted conversations of tests/scenarios: forward, proxy and cache, word for word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from k8sdns.testing.conversation import Conversation

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def scenarios() -> list[Any]:
    found = []
    for path in sorted(SCENARIOS.glob("*.yaml")):
        for scenario in yaml.safe_load(path.read_text()):
            found.append(pytest.param(scenario, id=f"{path.stem}: {scenario['name']}"))
    return found


@pytest.mark.parametrize("scenario", scenarios())
def test_conversation(scenario: dict[str, Any], tmp_path: Path) -> None:
    for name, text in scenario.get("files", {}).items():
        (tmp_path / name).write_text(text)
    hosts = scenario.get("hosts")
    Conversation(scenario["corefile"], tmp_path, hosts).play(scenario["steps"])
