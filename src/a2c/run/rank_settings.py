"""The settings of one rank, whose environments are some of the run's."""

from __future__ import annotations

from dataclasses import replace

from a2c.machine.device import resolve_device
from a2c.machine.ranks import Ranks
from a2c.settings.config import Config


def of_rank(cfg: Config, ranks: Ranks) -> Config:
    """The settings by which a rank steps its environments and learns."""
    count = len(ranks.rows(cfg.num_envs))
    found = resolve_device(cfg.device)
    device = f"cuda:{ranks.local}" if found.type == "cuda" and found.index is None else cfg.device
    # The first rank makes the means of infos, which are of all episodes.
    return replace(cfg, num_envs=count, env_groups=min(cfg.env_groups, count), device=device, log_info=[])
