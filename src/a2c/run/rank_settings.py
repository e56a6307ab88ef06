"""The settings of one rank, whose environments are some of the run's."""

from __future__ import annotations

from dataclasses import replace

import torch

from a2c.errors import ConfigError
from a2c.machine.device import resolve_device
from a2c.machine.rank_group import Ranks
from a2c.machine.rank_place import Place
from a2c.settings.config import Config
from a2c.settings.leaf_count import leaves_of


def of_place(cfg: Config, place: Place) -> Config:
    """The settings of a run that torchrun started so many processes for.

    Raises:
        ConfigError: ``ranks`` asks for another number.
    """
    if cfg.ranks not in (1, place.size):
        raise ConfigError(f"ranks={cfg.ranks}, but torchrun started {place.size}; leave ranks out")
    return replace(cfg, ranks=place.size)


def of_rank(cfg: Config, ranks: Ranks) -> Config:
    """The settings by which a rank steps its environments and learns.

    Raises:
        ConfigError: there are fewer GPUs than ranks on this machine.
    """
    count = len(ranks.rows(cfg.num_envs))
    found = resolve_device(cfg.device)
    if found.type == "cuda" and ranks.local >= torch.cuda.device_count():
        seen = torch.cuda.device_count()
        raise ConfigError(f"rank {ranks.rank} has no GPU: torch sees {seen} here; use fewer ranks, or device=cpu")
    device = f"cuda:{ranks.local}" if found.type == "cuda" and found.index is None else cfg.device
    # The first rank makes the means of infos, which are of all episodes.
    groups = leaves_of(cfg.num_envs) // ranks.size if cfg.deterministic_ranks else min(cfg.env_groups, count)
    return replace(cfg, num_envs=count, env_groups=groups, device=device, log_info=[])


def of_one(cfg: Config) -> Config:
    """The settings by which a single process steps its environments and learns."""
    return replace(cfg, env_groups=leaves_of(cfg.num_envs)) if cfg.deterministic_ranks else cfg
