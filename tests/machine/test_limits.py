"""What is still to be had: by the machine, its control groups and the user's limits; the tightest counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2c.machine import limits
from a2c.machine.limits import Limit, limits_here

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the files that are read are Linux's")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with 1000 kB available and 100 kB of swap, where this process is in the groups /pods/mine."""
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "PROC", tmp_path / "proc")
    monkeypatch.setattr(limits, "_user_limit", lambda name: None)
    write(tmp_path / "proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 1000 kB\nSwapFree: 100 kB\nHugePages_Total: 0\n")
    write(tmp_path / "proc/self/cgroup", "4:cpu,memory:/pods/mine\n3:pids:/pods/mine\n0::/pods/mine\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_limits_memory_is_what_the_kernel_calls_available(machine: Path) -> None:
    found = limits_here()
    assert found.memory == Limit(1100 * 1024, "MemAvailable and swap")
    assert found.descriptors is None
    assert found.processes is None


def test_a_container_of_version_2_grants_what_it_does_not_use_or_could_drop(machine: Path) -> None:
    group = machine / "cgroup" / "pods" / "mine"
    write(group / "memory.max", "500000\n")
    write(group / "memory.current", "300000\n")
    write(group / "memory.stat", "anon 1\ninactive_file 50000\n")
    write(group / "memory.swap.max", "0\n")
    assert limits_here().memory == Limit(250_000, f"memory.max of {group}")
    write(machine / "cgroup" / "pods" / "memory.max", "max\n")
    write(group / "memory.swap.max", "max\n")  # then the machine's swap
    assert limits_here().memory == Limit(250_000 + 100 * 1024, f"memory.max of {group}")


def test_a_container_of_version_1_too_and_the_group_around_counts(machine: Path) -> None:
    group = machine / "cgroup" / "memory" / "pods"
    write(group / "mine" / "memory.limit_in_bytes", "9223372036854771712\n")  # its word for no limit
    write(group / "memory.limit_in_bytes", "800000\n")
    write(group / "memory.usage_in_bytes", "300000\n")
    assert limits_here().memory == Limit(500_000 + 100 * 1024, f"memory.limit_in_bytes of {group}")
    write(machine / "cgroup" / "pids" / "pods" / "mine" / "pids.max", "40\n")
    write(machine / "cgroup" / "pids" / "pods" / "mine" / "pids.current", "15\n")
    assert limits_here().processes == Limit(25, f"pids.max of {machine / 'cgroup' / 'pids' / 'pods' / 'mine'}")


def test_the_limits_of_the_user(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_user_limit", {"RLIMIT_AS": 400_000, "RLIMIT_NOFILE": 64, "RLIMIT_NPROC": 30}.get)
    monkeypatch.setattr(os, "getuid", lambda: os.stat(machine).st_uid or 4711)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    write(machine / "proc/self/statm", "1000 1 1\n")
    for number in "01234":  # the last lists them
        write(machine / f"proc/self/fd/{number}", "")
    found = limits_here()
    assert found.memory == Limit(300_000, "ulimit -v")
    assert found.descriptors == Limit(60, "ulimit -n 64")
    assert found.processes == Limit(30, "ulimit -u 30")


def test_here_and_now() -> None:
    program = (
        "import resource; from a2c.machine.limits import limits_here;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)); found = limits_here();"
        "print(found.descriptors.free); assert found.memory.free > 0"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)
    assert 20 < int(done.stdout) <= 37  # three standard streams are open
