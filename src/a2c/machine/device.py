"""The torch device, and how torch uses the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores


def resolve_device(name: str) -> torch.device:
    """The torch device that a setting names; only ``auto`` falls back.

    Raises:
        ConfigError: there is no such device.
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


def use_device(name: str, *, tf32: bool) -> torch.device:
    """Resolve a device (:func:`resolve_device`) and prepare CUDA for training on it.

    The device becomes the current one, because streams and graphs belong to the current device, whatever tensors they
    work on: a graph captured on another one is empty, and replaying it does nothing.

    Args:
        name: as in the settings.
        tf32: let float32 products run as TF32 (:attr:`a2c.settings.config.Config.tf32`).

    Raises:
        ConfigError: there is no such device.
    """
    device = resolve_device(name)
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = tf32
    return device


def on_host(device: torch.device) -> bool:
    """Whether what lies on the device lies in the memory of the host, where arrays and environments are."""
    return device.type == "cpu"


def describe_device(device: torch.device) -> str:
    """For the start panel: ``cuda (NVIDIA H100 80GB HBM3)``, ``cpu (1 thread)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)


def set_threads(threads: int | None, *, convolutions: bool) -> None:
    """Set how many CPU threads torch uses.

    Args:
        threads: how many; None: all usable cores with ``convolutions``, else one, since small matrices are slower on
            several.
        convolutions: whether the network has them.
    """
    torch.set_num_threads(threads or (usable_cores() if convolutions else 1))


class TorchModes:
    """How torch is set now, to go back to after foreign code, which may set threads and gradients as it likes."""

    def __init__(self) -> None:
        self._threads, self._gradients = torch.get_num_threads(), torch.is_grad_enabled()

    def restore(self) -> None:
        """Undo what has changed; costs next to nothing if nothing has."""
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if torch.is_grad_enabled() is not self._gradients:
            torch.set_grad_enabled(self._gradients)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero, on the CPU, within this context.

    The mean squares of vanished gradients decay into such numbers, for which processors take a hundred times as long.
    Keep the context short: within it, environments in this process would compute other numbers than those in workers.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
