"""Manifest files are a cluster, and follow their changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from k8sdns.cluster.folder import Folder
from k8sdns.cluster.manifests import POLLED_EVERY, ManifestSource
from k8sdns.cluster.model import KINDS
from k8sdns.cluster.selectors import parse_selector
from k8sdns.cluster.store import Store

SERVICE = (
    "kind: Service\nmetadata: {{name: {}, labels: {{tier: {}}}}}\nspec: {{clusterIP: {}}}\n---\n"
)
DUMPED = "kind: Namespace\nmetadata: {name: default, labels: {stage: prod}}\n---\n"
EXAMPLES = Path(__file__).parents[2] / "examples" / "cluster"


def service(name: str, ip: str = "10.96.0.9", tier: str = "x") -> str:
    return SERVICE.format(name, tier, ip)


class Running:
    """A source on paths, its store, and the passing of time. Files look old to it."""

    def __init__(self, *paths: Path | str, **options: Any) -> None:
        self.clock = Clock()
        self.store = Store(clock=lambda: 1.0)
        self.source = ManifestSource(
            [str(path) for path in paths], self.store, self.clock, wall_clock=lambda: 0.0, **options
        )
        self.source.start()

    def wait(self, looks: int = 1) -> None:
        for _ in range(looks):
            self.clock.advance(POLLED_EVERY)
            self.clock.pump([0.001] * 200)

    def names(self) -> set[str]:
        return {name for _, name in self.store.services}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    write(tmp_path / "a.yaml", DUMPED + service("a"))
    return tmp_path


def write(path: Path, text: str) -> None:
    """Write as kubectl-like tools and editors do: whole, then renamed into place."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_everything_is_synced_when_start_returns(folder: Path) -> None:
    running = Running(folder)
    assert running.store.is_synced(KINDS)
    assert running.names() == {"a"}
    assert running.source.problems == {}


def test_files_folders_and_globs_are_taken_once_each(folder: Path) -> None:
    (folder / "deep").mkdir()
    write(folder / "deep" / "b.json", '{"kind": "Service", "metadata": {"name": "b"}}')
    write(folder / "note.txt", "not a manifest")
    write(folder / ".hidden.yaml", service("hidden"))
    write(folder / "odd.name", service("odd"))
    running = Running(folder, folder / "*.yaml", folder / "odd.name")
    assert running.names() == {"a", "b", "odd"}


def test_a_change_shows_after_one_look(folder: Path) -> None:
    running = Running(folder)
    write(folder / "a.yaml", DUMPED + service("a", "10.96.0.10"))
    write(folder / "b.yaml", service("b"))
    running.wait()
    assert running.names() == {"a", "b"}
    assert running.store.services["default", "a"].cluster_ips == ("10.96.0.10",)


def test_a_file_written_in_place_at_the_same_size_is_seen(folder: Path) -> None:
    running = Running(folder)
    file = folder / "a.yaml"
    before = file.stat()
    file.write_text(DUMPED + service("b"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    running.wait()
    assert running.names() == {"b"}


def test_a_file_younger_than_its_time_stamps_resolution_is_looked_at_twice(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("")
    now = file.stat().st_mtime
    look = Folder([str(tmp_path)], wall_clock=lambda: now)
    assert look.look().changed == (str(file),)
    assert look.look().changed == (str(file),)
    now += 1
    assert look.look().changed == (str(file),)
    assert look.look().changed == ()


def test_what_did_not_change_is_not_announced(folder: Path) -> None:
    running = Running(folder)
    heard: list[tuple[str, str, str]] = []
    running.store.subscribe(lambda *change: heard.append(change))
    write(folder / "b.yaml", service("b"))
    running.wait()
    assert heard == [("services", "default", "b")]
    running.wait(3)
    assert len(heard) == 1


def test_a_deleted_file_takes_its_objects_with_it(folder: Path) -> None:
    write(folder / "b.yaml", service("b"))
    running = Running(folder)
    (folder / "b.yaml").unlink()
    running.wait(2)
    assert running.names() == {"a"}


def test_a_file_that_is_away_for_a_moment_loses_nothing(folder: Path) -> None:
    running = Running(folder)
    (folder / "a.yaml").rename(folder / "a.away")
    running.wait()
    (folder / "a.away").rename(folder / "a.yaml")
    running.wait()
    assert running.names() == {"a"}


def test_the_swap_of_a_config_maps_links_is_seen(tmp_path: Path) -> None:
    for version, name in (("..1", "old"), ("..2", "new")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(DUMPED + service(name))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    running = Running(tmp_path)
    assert running.names() == {"old"}
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    running.wait()
    assert running.names() == {"new"}


@pytest.mark.parametrize("broken", ["kind: [\n", "kind: Service\nmetadata: {}\n", "\udcff"])
def test_a_broken_file_leaves_its_last_good_objects(folder: Path, broken: str) -> None:
    write(folder / "b.yaml", service("b"))
    running = Running(folder)
    (folder / "b.yaml").write_bytes(broken.encode("utf-8", "surrogateescape"))
    write(folder / "c.yaml", service("c"))
    running.wait()
    assert running.names() == {"a", "b", "c"}
    (problem,) = running.source.problems.values()
    assert problem.startswith(f"{folder / 'b.yaml'}:")
    write(folder / "b.yaml", service("mended"))
    running.wait()
    assert running.names() == {"a", "mended", "c"}
    assert running.source.problems == {}


def test_a_path_of_nothing_is_a_problem_until_it_is_there(tmp_path: Path) -> None:
    running = Running(tmp_path / "later.yaml")
    assert list(running.source.problems.values()) == [
        f"{tmp_path / 'later.yaml'}:1 - no such file or folder"
    ]
    write(tmp_path / "later.yaml", DUMPED + service("a"))
    running.wait()
    assert running.names() == {"a"}
    assert running.source.problems == {}


def test_selectors_filter_as_an_api_server_does(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", DUMPED + service("a", tier="front") + service("b", tier="back"))
    running = Running(tmp_path, labels=parse_selector("tier=front"))
    assert running.names() == {"a"}
    assert set(running.store.namespaces) == {"default"}
    running = Running(tmp_path, namespace_labels=parse_selector("stage!=prod"))
    assert running.names() == {"a", "b"}
    assert set(running.store.namespaces) == set()


def test_only_wanted_kinds_are_fed(folder: Path) -> None:
    running = Running(folder, kinds=("services",))
    assert running.store.synced == {"services"}
    assert running.store.objects("namespaces") == 0


def test_after_stop_nothing_moves(folder: Path) -> None:
    running = Running(folder)
    running.source.stop()
    running.source.stop()
    write(folder / "b.yaml", service("b"))
    running.wait(3)
    assert running.names() == {"a"}
    assert running.clock.getDelayedCalls() == []


def test_reading_pauses_between_pieces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(folder)
    write(folder / "b.yaml", "".join(service(f"s{number}") for number in range(20)))
    monkeypatch.setattr("k8sdns.cluster.manifests._budget", lambda: lambda: True)
    running.source.stop()
    running.source.start()
    write(folder / "c.yaml", service("c"))
    running.clock.advance(POLLED_EVERY)
    assert "c" not in running.names()
    running.wait()
    assert "c" in running.names()


def test_the_example_cluster_shows_every_kind_of_service() -> None:
    store = Running(EXAMPLES).store
    assert {service.type for service in store.things("services")} >= {"ClusterIP", "ExternalName"}
    assert any(service.is_headless for service in store.things("services"))
    assert any(len(service.cluster_ips) == 2 for service in store.things("services"))
    assert any(e.hostname for p in store.things("endpointslices") for e in p.endpoints)
    assert any(e.zone for p in store.things("endpointslices") for e in p.endpoints)
    for thing in store.things("services"):
        has_endpoints = any(p.endpoints for p in store.slices_of(thing.namespace, thing.name))
        assert has_endpoints or thing.type == "ExternalName"
