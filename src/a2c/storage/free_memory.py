"""How much memory this process may still take."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")  # version 2, as seen from inside a container


def free_memory() -> int | None:
    """Bytes that can be had without swapping, within the container's limit if it has one; None: nobody says."""
    found = [size for size in (_of_the_machine(), _of_the_container()) if size is not None]
    return min(found, default=None)


def _of_the_machine() -> int | None:
    with contextlib.suppress(OSError):
        if available := re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text()):
            return int(available[1]) << 10
    with contextlib.suppress(ValueError, OSError, AttributeError):  # not Linux: all there is, free or not
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _of_the_container() -> int | None:
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        cache = re.search(r"^inactive_file (\d+)$", (_CGROUP / "memory.stat").read_text(), re.MULTILINE)
        return max(0, limit - used + (int(cache[1]) if cache else 0))  # files kept in memory make room
    return None
