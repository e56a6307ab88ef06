"""On what a figure was measured: goes into every result."""

from __future__ import annotations

import platform
from typing import Any

from a2c.machine.cores import usable_cores
from a2c.study.machine import cpu_name, version_of


def describe_machine() -> dict[str, Any]:
    """Processor, cores, GPU, and the versions of what was run."""
    import torch

    packages = ("torch", "gymnasium", "numpy", "ale-py", "box2d", "mujoco", "jax", "stable-baselines3")
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version for name in packages if (version := version_of(name))},
    }
