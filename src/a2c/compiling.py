"""Whether compiling updates pays, and compiling them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

import torch

from a2c.config import Config
from a2c.model import ActorCritic
from a2c.passes import written_out

Arguments = ParamSpec("Arguments")

# Compiling takes about 15 s and saves about 0.3 ms of an update: docs/performance.md.
REPAID_AFTER = 100_000  # updates


def worth_compiling(cfg: Config, model: ActorCritic, device: torch.device) -> bool:
    """``compile=true``; or ``auto``, for passes that are written out, on a CPU, in a run long enough to repay it."""
    if cfg.compile != "auto":
        return cfg.compile == "true"
    updates = cfg.total_steps / (cfg.num_envs * cfg.n_step)
    return device.type == "cpu" and written_out(model) and updates >= REPAID_AFTER


def compiled_or_plain(function: Callable[Arguments, None], notify: Callable[[str], None]) -> Callable[Arguments, None]:
    """``function`` compiled at its first call; where that fails, ``notify`` says why and it runs as it is."""
    chosen: Callable[..., Any] = torch.compile(function, dynamic=False)
    proven = False

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        nonlocal chosen, proven
        if proven:
            chosen(*args, **kwargs)
            return
        try:
            chosen(*args, **kwargs)
        except Exception as error:  # the compiler's own, of many kinds; nothing has run when it fails
            notify(f"updates are not compiled: {' '.join(str(error).split())[:200]}")
            chosen = function
            chosen(*args, **kwargs)
        proven = True

    return call
