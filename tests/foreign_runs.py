"""Short runs of the environment of ``foreign_toys``, and what they leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import a2c
from a2c.envs.seeding import EVAL, FINAL_EVAL, env_seed
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint

LIGHT = (
    "env.id=foreign_toys:Foreign-v0",
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
    "num_envs=2",
    "n_step=5",
    "total_steps=200",
    "log_every=50",
    "eval.every=100",
    "eval.episodes=1",
    "eval.final_episodes=1",
    "checkpoint.every=0",
    "env.restarts=0",  # a fault ends the run; tests/envs/test_healing.py has them restarted
    "seed=5",
)
HOW = {
    "sync": ("vectorization=sync",),
    "workers": ("vectorization=workers", "num_workers=2", "main_shard=false"),
    "main shard": ("vectorization=workers", "num_workers=1", "main_shard=true"),
    "async": ("vectorization=async",),
}
SEEDS = [env_seed(5, EVAL, 0), env_seed(5, FINAL_EVAL, 0)]


def settings(runs: Path, /, *overrides: str, **kwargs: Any) -> Config:
    cfg = a2c.load_config(*LIGHT, f"runs_dir={runs}", *overrides)
    return replace(cfg, env=replace(cfg.env, kwargs=kwargs))


def saved(runs: Path) -> dict[str, Any]:
    (path,) = runs.glob("*/*/checkpoints/last.pt")
    return load_checkpoint(path)
