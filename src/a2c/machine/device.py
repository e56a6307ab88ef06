"""Where the tensors live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores


def resolve_device(name: str) -> torch.device:
    """The torch device that a setting names; only ``auto`` falls back.

    Raises:
        ConfigError: the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"device={name}, but torch {torch.__version__} sees no CUDA device; try device=auto")
        if (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(f"device={name}, but torch sees {torch.cuda.device_count()} CUDA device(s)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device={name}, but torch {torch.__version__} sees no Metal device; try device=auto")
    return device


def describe_device(device: torch.device) -> str:
    """For the start panel: ``cuda (NVIDIA H100 80GB HBM3)``, ``cpu (1 thread)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)


def set_threads(threads: int | None, *, convolutions: bool) -> None:
    """Give torch its CPU threads.

    Args:
        threads: how many; None: one, since small matrices are slower on several; all cores for ``convolutions``.
        convolutions: whether the network has them.
    """
    torch.set_num_threads(threads or (usable_cores() if convolutions else 1))


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for zero, on the CPU.

    Mean squares of gradients that have vanished decay into such numbers, on which processors take a hundred times as
    long. Not for longer than needed: environments in this process would compute otherwise than those in others.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
