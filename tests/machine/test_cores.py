"""How many cores are ours: by affinity, and by what a container grants."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from a2c.machine import cores


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """64 cores, and control groups that the test writes; this process is in /pods/mine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    (tmp_path / "membership").write_text("0::/pods/mine\n")
    (tmp_path / "cgroup" / "pods" / "mine").mkdir(parents=True)
    return tmp_path


def limit(machine: Path, group: str, text: str) -> None:
    (machine / "cgroup" / group / "cpu.max").write_text(text + "\n")


def test_without_a_limit_all_cores_are_ours(machine: Path) -> None:
    limit(machine, "pods/mine", "max 100000")
    assert cores.granted_cores() is None
    assert cores.usable_cores() == 64


@pytest.mark.parametrize(("text", "count"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_containers_limit_counts_in_whole_cores_and_leaves_one(machine: Path, text: str, count: int) -> None:
    limit(machine, "pods/mine", text)
    assert cores.usable_cores() == count


def test_the_tightest_of_all_groups_around_counts(machine: Path) -> None:
    limit(machine, "pods/mine", "800000 100000")
    limit(machine, "pods", "300000 100000")
    limit(machine, ".", "900000 100000")
    assert cores.usable_cores() == 3


def test_a_container_sees_itself_as_the_root(machine: Path) -> None:
    (machine / "membership").write_text("0::/\n")
    limit(machine, ".", "400000 100000")
    assert cores.usable_cores() == 4


@pytest.mark.parametrize("membership", ["", "12:cpu:/old\n", "0::/../../elsewhere\n"])
def test_what_cannot_be_read_is_no_limit(machine: Path, membership: str) -> None:
    (machine / "membership").write_text(membership)
    assert cores.usable_cores() == 64


def test_nor_is_what_is_no_number(machine: Path) -> None:
    limit(machine, "pods/mine", "a lot")
    assert cores.usable_cores() == 64


@pytest.mark.parametrize(("said", "count"), [("3", 3), ("100", 64), ("0", 64), ("many", 64)])
def test_one_of_several_jobs_has_its_share(
    machine: Path, said: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A2C_CORES", said)
    assert cores.usable_cores() == count
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")  # of the job's cores, each of its ranks has a third
    assert cores.usable_cores() == count // 3
