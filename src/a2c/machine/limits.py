"""What this machine, its containers and its user limits still grant this process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
UNLIMITED = 1 << 60  # control groups of version 1 say "no limit" by an absurd number


@dataclass(frozen=True, slots=True)
class Limit:
    """How much there is still to be had, and who says so."""

    free: int
    source: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What is still to be had; None: no limit, or none that this system tells."""

    memory: Limit | None  # bytes on the host, swap included
    descriptors: Limit | None  # that this process may still open
    processes: Limit | None  # processes and threads that this user may still start


def limits_here() -> Limits:
    """What this process may still take. Reading it takes a few milliseconds and changes nothing."""
    return Limits(
        memory=_tightest(_free_memory()),
        descriptors=_tightest(_free_descriptors()),
        processes=_tightest(_free_processes()),
    )


def device_memory(device: str) -> Limit | None:
    """Bytes that are free on a CUDA device; None for any other."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, to be used again
    return Limit(free + held, f"on {device}")


def _tightest(limits: Iterator[Limit]) -> Limit | None:
    return min(limits, key=lambda limit: limit.free, default=None)


def _free_memory() -> Iterator[Limit]:
    known = _fields(PROC / "meminfo", scale=1024)
    swap = known.get("SwapFree", 0)
    if "MemAvailable" in known:
        yield Limit(known["MemAvailable"] + swap, "MemAvailable and swap")
    for folder in _groups("memory", "memory"):
        if (most := _number(folder / "memory.max")) is not None:  # version 2
            used, cache = _number(folder / "memory.current") or 0, _fields(folder / "memory.stat")
            more = _number(folder / "memory.swap.max")
            more = swap if more is None else min(swap, max(0, more - (_number(folder / "memory.swap.current") or 0)))
            yield Limit(most - used + cache.get("inactive_file", 0) + more, f"memory.max of {folder}")
        elif (most := _number(folder / "memory.limit_in_bytes")) is not None and most < UNLIMITED:  # version 1
            used, cache = _number(folder / "memory.usage_in_bytes") or 0, _fields(folder / "memory.stat")
            yield Limit(most - used + cache.get("total_inactive_file", 0) + swap, f"memory.limit_in_bytes of {folder}")
    size = _number(PROC / "self" / "statm")
    if (most := _user_limit("RLIMIT_AS")) is not None and size is not None:
        yield Limit(most - size * os.sysconf("SC_PAGE_SIZE"), "ulimit -v")


def _free_descriptors() -> Iterator[Limit]:
    folder = PROC / "self" / "fd"
    most = _user_limit("RLIMIT_NOFILE")
    if most is not None and folder.is_dir():
        yield Limit(most - (len(os.listdir(folder)) - 1), f"ulimit -n {most}")  # one is open to list them


def _free_processes() -> Iterator[Limit]:
    most = _user_limit("RLIMIT_NPROC")
    if most is not None and hasattr(os, "getuid") and os.getuid() != 0:  # root may start any number
        yield Limit(most - _tasks_of(os.getuid()), f"ulimit -u {most}")
    for folder in _groups("pids", "pids"):
        if (most := _number(folder / "pids.max")) is not None:
            yield Limit(most - (_number(folder / "pids.current") or 0), f"pids.max of {folder}")


def _tasks_of(user: int) -> int:
    """Processes and threads of a user; those that end meanwhile do not count."""
    count = 0
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count


def _user_limit(name: str) -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft


def _groups(controller: str, folder: str) -> Iterator[Path]:
    """The folders of this process's control groups, of version 2 and of one controller of version 1, and around."""
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = CGROUPS / folder if controllers else CGROUPS
            own = root / path.strip("/")
            yield from (group for group in (own, *own.parents) if group.is_relative_to(root))


def _number(path: Path) -> int | None:
    """The first word of a file, if it is a number: ``max`` is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[0])
    return None


def _fields(path: Path, scale: int = 1) -> Mapping[str, int]:
    """Lines like ``name value`` or ``name: value kB``."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in path.read_text().splitlines():
            name, value, *_ = line.split()
            found[name.rstrip(":")] = int(value) * scale
    return found
