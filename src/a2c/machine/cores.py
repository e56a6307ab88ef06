"""How many cores this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from a2c.machine.rank_place import ranks_on_machine

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """How many cores this process may keep busy, by its affinity and by the CPU time that its container grants.

    Of several ranks each has its share.
    """
    return max(1, cores_of_ranks() // ranks_on_machine())


def cores_of_ranks() -> int:
    """How many cores all ranks on this machine may keep busy together; without ranks, those of this process.

    ``A2C_CORES`` makes it fewer: jobs that run at once have a share each.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = granted_cores()
    usable = count if granted is None else min(count, int(granted))
    given = os.environ.get("A2C_CORES", "")
    if given.isdecimal() and int(given):  # the share of a job beside others
        usable = min(usable, int(given))
    return max(1, usable)


def granted_cores() -> float | None:
    """CPU seconds per second that this process's control groups (version 2) grant it; None: no limit.

    A container that may use 2 of 64 cores usually has a limit on its time only: the affinity shows all 64.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError):
        own = [line[3:] for line in MEMBERSHIP.read_text().splitlines() if line.startswith("0::")]
        group = CGROUPS / "".join(own).strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(CGROUPS) and (file := folder / "cpu.max").is_file():
                quota, period = file.read_text().split()
                if quota != "max":
                    limits.append(int(quota) / int(period))
    return min(limits, default=None)
