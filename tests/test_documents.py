"""The pages and the guided tour lead to things that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import k8sdns

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE = re.compile(r"`((?:[a-z0-9]+/)*[a-z0-9_]+\.py|[a-z]+/)`")


CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def links_of(page: Path) -> list[str]:
    prose = CODE.sub("", page.read_text())
    return [link for link in LINK.findall(prose) if "://" not in link]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links_of(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_module_that_is_named_exists(page: Path) -> None:
    found = re.findall(r"`(k8sdns/[a-z0-9_/]+\.py)`", page.read_text())
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_the_tour_visits_what_exists() -> None:
    tour = k8sdns.__doc__ or ""
    visited = MODULE.findall(tour)
    assert len(visited) > 20
    assert [path for path in visited if not (ROOT / "k8sdns" / path).exists()] == []
    pages = re.findall(r"``(docs/[\w/.-]+)``", tour)
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_the_map_shows_every_page() -> None:
    docs = ROOT / "docs"
    linked = {(docs / link).resolve() for link in links_of(docs / "README.md")}
    pages = {path for path in docs.glob("**/*.md") if path.parent.name != "directives"}
    assert [named(page) for page in sorted(pages - linked - {docs / "README.md"})] == []
