"""What the settings say about how evaluations are played, whoever plays them."""

from __future__ import annotations

from a2c.machine.cores import usable_cores
from a2c.machine.device import resolve_device
from a2c.settings.config import Config

# Those that make a network with the same spaces the same.
NETWORK_SETTINGS = ("network", "precision", "normalize_obs", "normalize_value")


def abreast(cfg: Config, episodes: int) -> int:
    """How many of the episodes of an evaluation one policy plays side by side, at most.

    The last bits of a product may depend on how many rows it has. Where the number of ranks may change no bit, it has
    one row, whoever plays the episode.
    """
    return 1 if cfg.deterministic_ranks else episodes


def apart_at_once(cfg: Config) -> bool:
    """Whether all evaluations of a run belong in a process of their own.

    ``auto`` says so with ``env.step_timeout`` and ``env.isolate``, because a process can be ended and may die alone.
    And it does on a GPU where there are two cores: the process plays on the CPU, so that no second process opens the
    GPU, and all evaluations of a run must be made on the same device.
    """
    if cfg.eval.apart == "auto" and (cfg.env.step_timeout is not None or cfg.env.isolate):
        return True
    if cfg.eval.apart != "auto":
        return cfg.eval.apart == "true"
    return resolve_device(cfg.device).type != "cpu" and usable_cores() > 1


def same_network(one: Config, other: Config) -> bool:
    """Whether both make the same network: a resumed run may have changed its precision."""
    return all(getattr(one, key) == getattr(other, key) for key in NETWORK_SETTINGS)
