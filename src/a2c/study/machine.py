"""The machine that a number was measured on, for the record."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2c import __version__
from a2c.machine.cores import usable_cores

PACKAGES = ("torch", "gymnasium", "numpy", "scipy", "matplotlib", "ale-py", "box2d")


def describe_machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Processor, cores, GPU, system and the versions of packages; plain JSON values.

    Args:
        packages: whose versions to give; leaves out those that are not installed.
    """
    import torch

    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "a2c": __version__,
            "python": platform.python_version(),
            **{name: version for name in packages if (version := version_of(name))},
        },
    }


def cpu_name() -> str:
    """The processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def version_of(name: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
