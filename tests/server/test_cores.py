"""How many workers a container has room for."""

from __future__ import annotations

import os

import pytest

from k8sdns.server.cores import BASE_OCTETS, PROCESS_OCTETS, worthwhile_processes

MANY = BASE_OCTETS + 4 * PROCESS_OCTETS


@pytest.fixture
def cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


@pytest.mark.parametrize(
    "files, workers",
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"memory.max": f"{MANY}\n"}, 4),
        ({"memory.max": "1000\n"}, 1),
        ({"cpu.max": "300000 100000", "memory.max": f"{MANY}"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, 8),
        ({"cpu.max": "", "memory.max": "what"}, 8),
    ],
)
def test_cpus_quota_and_memory_bound_it(tmp_path, cpus, files, workers):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert worthwhile_processes(tmp_path) == workers
