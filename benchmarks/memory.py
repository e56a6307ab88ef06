"""The peak memory of this process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def peak_memory() -> dict[str, float | None]:
    """Peak of the resident memory of this process, and of the tensors on the GPU, in MB."""
    gpu = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    return {"peak_rss_mb": peak_rss() / 1e6, "peak_gpu_mb": gpu}


def peak_rss() -> float:
    """Peak of the resident memory of this process, in bytes."""
    # ru_maxrss of a child starts with what its parent had taken; VmHWM counts this program alone.
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
